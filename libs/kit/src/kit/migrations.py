"""Schema migrations: Alembic, with the scripts inside the package they belong to and no `alembic.ini`.

A service that has tables has `<package>/migrations/env.py`, three lines:

    from kit.migrations import run_env
    from tickets.store import metadata
    run_env(metadata)

and `<package>/migrations/versions/`. A revision is written from the difference between the tables in the code
(made with `kit.db.new_metadata()`) and what the revisions so far make, in a scratch SQLite file:

    python -m kit.migrations revision tickets -m "tickets and triggers"

Read it before it is committed: a rename looks like a drop and an add. `python -m kit.migrations check
tickets` says whether the tables in the code and the revisions agree. Both databases run the same revisions; a
change of an existing table goes through `op.batch_alter_table`, as SQLite has to build the table anew.
"""

import argparse
import asyncio
import importlib.util
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from alembic import autogenerate, command, context
from alembic.config import Config
from alembic.operations import ops
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

from kit import columns
from kit.db import database_fault, lock_number
from kit.db_engines import postgres_connect_args
from kit.errors import Unavailable
from kit.settings import DatabaseSettings

VERSION_TABLE = "alembic_version"
TURN_WAIT_S = 120.0
"""How long a second migrator waits for the first: replicas start together, and one of them migrates."""

TURN_POLL_S = 0.2
LOCK_ATTEMPTS = 5
"""A migration that cannot get a table's lock lets the queue behind it through and tries again."""

# Alembic's `context` is one per process: all-in-one migrates several packages.
_one_at_a_time = threading.Lock()


class SchemaDrift(Exception):  # noqa: N818 - it reads as what is the matter, like kit's errors
    """The tables in the code and those that the revisions make differ; the text lists how."""


async def upgrade(settings: DatabaseSettings, package: str, revision: str = "head") -> None:
    """Bring the schema to `revision`. Of several callers one works; the others wait and find it done.

    Raises:
        Unavailable: the database is away, or others hold its locks (code `transaction_conflict`).
        StorageFull: its disk is full.
    """
    await asyncio.to_thread(_run, settings, package, lambda config: command.upgrade(config, revision))


async def downgrade(settings: DatabaseSettings, package: str, revision: str) -> None:
    """Take the schema back to `revision`; `base` is the empty one. Raises as `upgrade`."""
    await asyncio.to_thread(_run, settings, package, lambda config: command.downgrade(config, revision))


async def current(settings: DatabaseSettings, package: str) -> str | None:
    """The revision that the database stands at; None before the first. Raises as `upgrade`."""
    return await asyncio.to_thread(_current, settings, package)


async def check(settings: DatabaseSettings, package: str) -> None:
    """Compare a database at `head` with the tables in the code.

    Raises:
        SchemaDrift: they differ.
        Unavailable: as `upgrade`.
    """
    differences = await asyncio.to_thread(_differences, settings, package)
    if differences:
        raise SchemaDrift(f"{package} has no revision for: {'; '.join(map(str, differences))}")


def head(package: str) -> str | None:
    """The newest revision among the package's scripts."""
    return ScriptDirectory.from_config(_config(package)).get_current_head()


def run_env(metadata: MetaData) -> None:
    """The whole of a package's `env.py`. Works only inside a call of this module."""
    attributes = context.config.attributes
    connection: Connection = attributes["connection"]
    attributes["metadata"] = metadata
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        render_as_batch=True,
        compare_type=True,
        # On PostgreSQL a long way up is not one long lock. SQLite's caller holds the transaction already.
        transaction_per_migration=not is_sqlite,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run(settings: DatabaseSettings, package: str, work: Callable[[Config], None]) -> None:
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            with _one_at_a_time, _connected(settings, package) as connection:
                work(_config(package, connection))
        except Unavailable as error:
            if error.code != "transaction_conflict" or attempt == LOCK_ATTEMPTS:
                raise
            time.sleep(attempt)  # off the event loop: this is a thread
        else:
            return


def _current(settings: DatabaseSettings, package: str) -> str | None:
    with _connected(settings, package) as connection:
        return MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE}
        ).get_current_revision()


def _differences(settings: DatabaseSettings, package: str) -> list[Any]:
    found: list[Any] = []

    def compare(_revision: Any, migration_context: MigrationContext) -> list[Any]:
        found.extend(autogenerate.compare_metadata(migration_context, _metadata_of(migration_context)))
        return []

    with _one_at_a_time, _connected(settings, package) as connection:
        _in_environment(_config(package, connection), compare)
    return found


def _in_environment(config: Config, work: Callable[[Any, MigrationContext], list[Any]]) -> None:
    """Run `work` as Alembic runs migrations: with the package's tables and options in place."""
    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, scripts, fn=work, dont_mutate=True):
        scripts.run_env()


def _metadata_of(migration_context: MigrationContext) -> MetaData:
    metadata = migration_context.opts["target_metadata"]
    assert isinstance(metadata, MetaData)
    return metadata


def _config(package: str, connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts_folder(package)).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def scripts_folder(package: str) -> Path:
    """`<package>/migrations`.

    Raises:
        ModuleNotFoundError: there is no such package.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package!r}", name=package)
    return Path(spec.submodule_search_locations[0]) / "migrations"


@contextmanager
def _connected(settings: DatabaseSettings, package: str) -> Iterator[Connection]:
    url = make_url(settings.url)
    is_sqlite = url.get_backend_name() == "sqlite"
    path = Path(url.database) if is_sqlite and url.database else None
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _sqlite_connection(settings) as connection:
                yield connection
        else:
            with _postgres_connection(settings, package) as connection:
                yield connection
    except Exception as error:
        if fault := database_fault(error, path=path, retry_after_s=settings.retry_after_s):
            raise fault from error
        raise


@contextmanager
def _postgres_connection(settings: DatabaseSettings, package: str) -> Iterator[Connection]:
    engine = create_engine(
        make_url(settings.url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args=postgres_connect_args(settings, f"{package}-migrations"),
        use_native_hstore=False,
        hide_parameters=True,
    )
    with engine.connect() as connection:
        number = lock_number(f"migrations of {package}")
        _take_turn(connection, number)
        # The lock is short, the work behind it may be long: an index on a year of tickets.
        connection.execute(text(f"SET lock_timeout = {round(settings.lock_timeout_s * 1000)}"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.commit()
        yield connection
        # Not given back explicitly: closing the connection does, also when the work failed.


def _take_turn(connection: Connection, number: int) -> None:
    """Wait for the other migrators of this package.

    By polling, not inside the server: a waiting statement holds a snapshot, which a CREATE INDEX CONCURRENTLY
    of the other one would wait for in turn.
    """
    deadline = time.monotonic() + TURN_WAIT_S
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}):
        connection.rollback()
        if time.monotonic() > deadline:
            raise Unavailable(
                f"another migration has been running for {TURN_WAIT_S:g} s",
                code="migration_running",
                retry_after_s=30,
            )
        time.sleep(TURN_POLL_S)
    connection.rollback()


@contextmanager
def _sqlite_connection(settings: DatabaseSettings) -> Iterator[Connection]:
    engine = create_engine(
        make_url(settings.url).set(drivername="sqlite+pysqlite"),
        poolclass=NullPool,
        connect_args={"timeout": TURN_WAIT_S, "isolation_level": None},
        hide_parameters=True,
    )
    _begin_immediate(engine)
    with engine.connect() as connection, connection.begin():
        yield connection
        # Foreign keys are off meanwhile (building a table anew would cascade), so they are checked once here.
        broken = connection.execute(text("PRAGMA foreign_key_check")).all()
        if broken:
            raise RuntimeError(f"the migration breaks {len(broken)} foreign keys, first {broken[0]}")


def _begin_immediate(engine: Engine) -> None:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "begin", begin)


def write_revision(package: str, message: str) -> Path | None:
    """Write the next revision of `package`; its path, or None when nothing differs.

    Raises:
        ModuleNotFoundError: there is no such package.
    """
    script: list[ops.MigrationScript] = []

    def compare(_revision: Any, migration_context: MigrationContext) -> list[Any]:
        script.append(autogenerate.produce_migrations(migration_context, _metadata_of(migration_context)))
        return []

    versions = scripts_folder(package) / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    with _scratch(package) as settings, _one_at_a_time, _connected(settings, package) as connection:
        _in_environment(_config(package, connection), compare)
    upgrade_ops, downgrade_ops = script[0].upgrade_ops, script[0].downgrade_ops
    assert upgrade_ops is not None
    assert downgrade_ops is not None
    if upgrade_ops.is_empty():
        return None
    return _write_script(versions, head(package), message, upgrade_ops, downgrade_ops)


@contextmanager
def _scratch(package: str) -> Iterator[DatabaseSettings]:
    """A database that stands at the newest revision, to compare the code with."""
    with tempfile.TemporaryDirectory() as folder:
        settings = DatabaseSettings(url=f"sqlite:///{folder}/scratch.db")
        if head(package) is not None:
            _run(settings, package, lambda config: command.upgrade(config, "head"))
        yield settings


def _write_script(
    versions: Path, down: str | None, message: str, up: ops.UpgradeOps, back: ops.DowngradeOps
) -> Path:
    used: set[str] = set()

    def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
        if kind == "type" and type(item).__module__ == columns.__name__:
            used.add(type(item).__name__)
            return repr(item)
        return False

    upgrade_body, downgrade_body = (
        autogenerate.render_python_code(operations, render_as_batch=True, render_item=render)
        for operations in (up, back)
    )
    number = 1 + sum(1 for path in versions.glob("*.py") if path.name != "__init__.py")
    revision = f"{number:04d}"
    path = versions / f"{revision}_{re.sub(r'[^a-z0-9]+', '_', message.lower()).strip('_')}.py"
    imports = f"\nfrom kit.db import {', '.join(sorted(used))}" if used else ""
    path.write_text(
        _SCRIPT.format(
            message=message,
            imports=imports,
            revision=revision,
            down=repr(down),
            upgrade=upgrade_body,
            downgrade=downgrade_body,
        )
    )
    return path


_SCRIPT = '''"""{message}"""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{revision}"
down_revision: str | None = {down}
branch_labels = None
depends_on = None


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


def main(arguments: list[str] | None = None) -> int:
    """The commands for authors; a service's own `migrate` command is what operators use."""
    parser = argparse.ArgumentParser(prog="python -m kit.migrations", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    revision = commands.add_parser("revision", help="write the next revision of a package")
    revision.add_argument("package")
    revision.add_argument("-m", "--message", required=True)
    commands.add_parser("check", help="do the revisions make the tables in the code?").add_argument("package")
    options = parser.parse_args(arguments)
    try:
        if options.command == "revision":
            path = write_revision(options.package, options.message)
            print(path or "nothing differs")
            return 0
        with _scratch(options.package) as settings:
            asyncio.run(check(settings, options.package))
    except (SchemaDrift, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    print("in step")
    return 0


if __name__ == "__main__":
    sys.exit(main())
