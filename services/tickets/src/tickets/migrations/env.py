from kit.migrations import run_env
from tickets.store.tables import metadata

run_env(metadata)
