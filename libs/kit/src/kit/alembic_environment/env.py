"""The environment that Alembic runs, for every package, with kit's revision template."""

from alembic import context

from kit.migrations import run_env, tables_of

run_env(tables_of(context.config.attributes["package"]))
