"""Real servers as context managers, for benches and scripts as much as for the fixtures.

`with testkit.servers.postgres() as server: url = server.fresh_database()`
"""

from testkit.postgres import PostgresServer, postgres
from testkit.processes import ServerMissing
from testkit.rabbitmq import RabbitMqServer, rabbitmq
from testkit.s3 import S3Server, s3

__all__ = ["PostgresServer", "RabbitMqServer", "S3Server", "ServerMissing", "postgres", "rabbitmq", "s3"]
