import asyncio
import importlib
import itertools
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from kit.db import lock_number
from kit.errors import Unavailable
from kit.migrations import SchemaDrift, check, current, downgrade, head, main, upgrade, write_revision
from kit.settings import DatabaseSettings
from testkit import eventually

pytestmark = pytest.mark.integration

TABLES = """
from sqlalchemy import CheckConstraint, Column, ForeignKey, Identity, Index, Table, Text, UniqueConstraint
from sqlalchemy import text
from kit.db import BigIntId, JsonDocument, UtcDateTime, new_metadata

metadata = new_metadata()
poles = Table(
    "poles", metadata,
    Column("pole_id", BigIntId, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    sqlite_autoincrement=True,
)
cameras = Table(
    "cameras", metadata,
    Column("camera_id", BigIntId, Identity(), primary_key=True),
    Column("pole_id", BigIntId, ForeignKey("poles.pole_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("api_code", Text, nullable=False),
    Column("seen_at", UtcDateTime),
    Column("parameters", JsonDocument, nullable=False),
    Column("state", Text, nullable=False, server_default="OFFLINE"),
    UniqueConstraint("pole_id", "api_code"),
    CheckConstraint("state IN ('ONLINE', 'OFFLINE')", name="state"),
    Index("ix_cameras_online", "seen_at", postgresql_where=text("state = 'ONLINE'"),
          sqlite_where=text("state = 'ONLINE'")),
)
"""
CHANGED = TABLES.replace(
    'Column("api_code", Text, nullable=False),',
    'Column("api_code", Text, nullable=False),\n    Column("vpn_ip", Text),',
).replace('UniqueConstraint("pole_id", "api_code"),', "")

_numbers = itertools.count()


class Package:
    """A throw-away service package on sys.path."""

    def __init__(self, folder: Path) -> None:
        self.name = f"migrated_{next(_numbers)}"
        self.folder = folder / self.name
        (self.folder / "migrations" / "versions").mkdir(parents=True)
        (self.folder / "__init__.py").touch()
        self.tables(TABLES)

    def tables(self, source: str) -> None:
        store = self.folder / "store.py"
        store.write_text(source)
        sys.modules.pop(f"{self.name}.store", None)
        importlib.invalidate_caches()

    def revision(self, body: str) -> None:
        """A hand-written one on top of the newest."""
        down = head(self.name)
        (self.folder / "migrations" / "versions" / "9999_hand.py").write_text(
            "import time\nfrom alembic import op\n"
            f"revision, down_revision = '9999', {down!r}\nbranch_labels = depends_on = None\n"
            f"def upgrade() -> None:\n    {body}\n\ndef downgrade() -> None:\n    pass\n"
        )


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> Package:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # sources change within one second here
    return Package(tmp_path)


@pytest.fixture
def settings(any_database: str) -> DatabaseSettings:
    return DatabaseSettings(url=any_database, lock_timeout_s=0.3)


def look(settings: DatabaseSettings, see):
    url = make_url(settings.url)
    plain = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
    engine = create_engine(url.set(drivername=plain))
    try:
        with engine.connect() as connection:
            return see(connection)
    finally:
        engine.dispose()


def tables(settings: DatabaseSettings) -> set[str]:
    return look(settings, lambda connection: set(inspect(connection).get_table_names()))


async def test_up_check_and_down_again(package: Package, settings: DatabaseSettings):
    assert await current(settings, package.name) is None
    path = write_revision(package.name, "Poles, and cameras!")
    assert path is not None
    assert path.name == "0001_poles_and_cameras.py"
    source = path.read_text()
    for name in ("BigIntId", "JsonDocument", "UtcDateTime"):
        assert f"from kit.db import {name}\n" in source
        assert f", {name}()," in source
    await upgrade(settings, package.name)
    assert await current(settings, package.name) == head(package.name) == "0001"
    assert tables(settings) == {"alembic_version", "poles", "cameras"}
    await check(settings, package.name)
    await upgrade(settings, package.name)  # nothing left to do

    def names(connection):
        seen = inspect(connection)
        return (
            seen.get_pk_constraint("cameras")["name"],
            {found["name"] for found in seen.get_unique_constraints("cameras")},
            {found["name"] for found in seen.get_check_constraints("cameras")},
            {found["name"] for found in seen.get_foreign_keys("cameras")},
            {found["name"] for found in seen.get_indexes("cameras") if found["name"].startswith("ix_")},
        )

    assert look(settings, names) == (
        "pk_cameras",
        {"uq_cameras_pole_id_api_code"},
        {"ck_cameras_state"},
        {"fk_cameras_pole_id_poles"},
        {"ix_cameras_pole_id", "ix_cameras_online"},
    )
    await downgrade(settings, package.name, "base")
    assert await current(settings, package.name) is None
    assert tables(settings) == {"alembic_version"}
    await upgrade(settings, package.name)


async def test_a_changed_table_is_drift_until_a_revision_changes_it(
    package: Package, settings: DatabaseSettings
):
    write_revision(package.name, "first")
    await upgrade(settings, package.name)

    def add_rows(connection):
        connection.execute(text("INSERT INTO poles (name) VALUES ('p')"))
        connection.execute(
            text(
                "INSERT INTO cameras (pole_id, api_code, parameters, state) VALUES (1, '95', '{}', 'ONLINE')"
            )
        )
        connection.commit()

    look(settings, add_rows)
    package.tables(CHANGED)
    with pytest.raises(SchemaDrift, match="vpn_ip"):
        await check(settings, package.name)
    assert write_revision(package.name, "second") is not None
    await upgrade(settings, package.name)
    await check(settings, package.name)
    assert write_revision(package.name, "third") is None

    def count(connection):
        return connection.scalar(text("SELECT count(*) FROM cameras WHERE vpn_ip IS NULL"))

    assert look(settings, count) == 1, "rows survive the table's rebuilding"
    await downgrade(settings, package.name, "0001")
    assert "vpn_ip" not in look(
        settings, lambda c: {col["name"] for col in inspect(c).get_columns("cameras")}
    )
    assert look(settings, lambda c: c.scalar(text("SELECT count(*) FROM cameras"))) == 1


async def test_several_migrators_at_once(package: Package, settings: DatabaseSettings):
    write_revision(package.name, "first")
    # Processes, as in production: only the lock in the database may keep them apart.
    command = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[1]);"
        "from kit.migrations import upgrade; from kit.settings import DatabaseSettings;"
        "asyncio.run(upgrade(DatabaseSettings(url=sys.argv[2]), sys.argv[3]))"
    )
    arguments = (command, str(package.folder.parent), str(settings.url), package.name)
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    outputs = [(await process.communicate())[0].decode() for process in processes]
    assert outputs == ["", ""], "done, and no noise"
    assert [process.returncode for process in processes] == [0, 0]
    await check(settings, package.name)


async def test_a_second_migration_waits_for_the_first(package: Package, postgres_url: str):
    settings = DatabaseSettings(url=postgres_url)
    write_revision(package.name, "first")
    number = lock_number(f"migrations of {package.name}")
    engine = create_engine(make_url(settings.url))
    with engine.connect() as first:
        first.execute(text(f"SELECT pg_advisory_lock({number})"))
        second = asyncio.create_task(upgrade(settings, package.name))
        # Between two tries its last statement is a rollback: it is known by its name, and not by what it asks.
        asking = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lookout-%-migrations'"

        def is_asking() -> bool:
            first.rollback()
            return bool(first.scalar(text(asking)))

        await eventually(is_asking)
        assert "poles" not in tables(settings)
        assert not second.done()
        first.execute(text(f"SELECT pg_advisory_unlock({number})"))
        await second
    engine.dispose()
    await check(settings, package.name)


async def test_a_failing_revision_is_rolled_back_completely(package: Package, settings: DatabaseSettings):
    write_revision(package.name, "first")
    await upgrade(settings, package.name)
    package.revision("op.execute('CREATE TABLE half (id INTEGER)'); raise RuntimeError('broken')")
    with pytest.raises(RuntimeError, match="broken"):
        await upgrade(settings, package.name)
    assert await current(settings, package.name) == "0001"
    assert "half" not in tables(settings)


async def test_a_locked_table_is_waited_for_in_short_intervals(package: Package, postgres_url: str):
    settings = DatabaseSettings(url=postgres_url, lock_timeout_s=0.2)
    write_revision(package.name, "first")
    await upgrade(settings, package.name)
    package.revision("op.execute('ALTER TABLE cameras ADD COLUMN later TEXT')")
    engine = create_engine(make_url(settings.url))
    with engine.connect() as holder:
        holder.execute(text("SELECT count(*) FROM cameras"))  # keeps a share lock until it commits
        migrating = asyncio.create_task(upgrade(settings, package.name))

        def has_tried() -> bool:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return bool(look(settings, lambda connection: connection.scalar(text(waiting))))

        await eventually(has_tried)
        await eventually(lambda: not has_tried(), message="the migration lets others through")
        assert not migrating.done()
    await migrating
    engine.dispose()
    assert await current(settings, package.name) == "9999"


async def test_a_migration_that_breaks_a_foreign_key_is_undone(package: Package, sqlite_url: str):
    settings = DatabaseSettings(url=sqlite_url)
    write_revision(package.name, "first")
    await upgrade(settings, package.name)
    package.revision(
        "op.execute(\"INSERT INTO cameras (pole_id, api_code, parameters) VALUES (77, 'x', '{}')\")"
    )
    with pytest.raises(RuntimeError, match="foreign key"):
        await upgrade(settings, package.name)
    assert await current(settings, package.name) == "0001"


async def test_an_unreachable_database_is_unavailable(package: Package):
    write_revision(package.name, "first")
    settings = DatabaseSettings(url="postgresql://nobody@127.0.0.1:1/none", retry_after_s=9)
    with pytest.raises(Unavailable) as caught:
        await upgrade(settings, package.name)
    assert caught.value.retry_after_s == 9


def test_the_command_writes_and_checks_the_page(package: Package, capsys):
    assert main(["check", package.name]) == 1
    assert "add_table" in capsys.readouterr().err
    assert main(["revision", package.name, "-m", "first"]) == 0
    assert capsys.readouterr().out.strip().endswith("0001_first.py")
    assert main(["revision", package.name, "-m", "again"]) == 0
    assert "nothing differs" in capsys.readouterr().out
    assert main(["check", package.name]) == 0
    assert capsys.readouterr().out == "the revisions make the tables in the code\n"
    assert main(["check", "no_such_package_here"]) == 1
