"""The environment that Alembic runs: that of the package whose revisions these are, with kit's revision template."""

import runpy

from alembic import context

runpy.run_path(context.config.attributes["env"])
