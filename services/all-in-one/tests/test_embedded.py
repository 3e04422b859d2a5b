from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from all_in_one import configuration
from all_in_one.__main__ import parser
from all_in_one.embedded import build, settings_of
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings


def test_general_names_do_not_reach_an_embedded_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@example.org/one-for-all")
    monkeypatch.setenv("RABBITMQ_URL", "amqp://example.org")
    settings = settings_of(IngestSettings, tmp_path)
    assert settings.mode == "embedded"
    assert settings.database.url == f"sqlite+aiosqlite:///{tmp_path}/ingest.db"
    assert settings.bus.url == f"sqlite:///{tmp_path}/bus.db"


def test_names_of_a_service_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKOUT_INGEST__PUSH__MAX_OUTCOME_WAIT_S", "7")
    assert settings_of(IngestSettings, tmp_path).push.max_outcome_wait_s == 7


def test_the_general_name_of_cors_origins_reaches_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://console.example")
    assert settings_of(GatewaySettings, tmp_path).http.cors_origins == ("https://console.example",)


def test_a_wrong_setting_ends_with_an_error_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKOUT_TICKETS__RULES__REOPEN_WINDOW_S", "soon")
    with pytest.raises(SystemExit) as end:
        build(tmp_path)
    assert end.value.code == 2
    assert "LOOKOUT_TICKETS__RULES__REOPEN_WINDOW_S" in capsys.readouterr().err


def test_the_bus_starts_last_and_stops_first(tmp_path: Path) -> None:
    services = build(tmp_path, port=0)
    assert [service.name for service in services] == ["ingest", "plate-ocr", "tickets", "gateway"]
    assert services[-1].resources[-1] is services[0].bus
    assert all(service.bus is services[0].bus for service in services[:-1])


def test_the_gateway_renders_the_metrics_of_every_service(tmp_path: Path) -> None:
    *_, gateway = build(tmp_path, port=0)
    families = [family.name for family in text_string_to_metric_families(gateway.metrics.render().decode())]
    assert len(families) == len(set(families))
    for service in ("gateway", "ingest", "plate_ocr", "tickets", "all_in_one"):
        assert any(name.startswith(f"lookout_{service}_") for name in families), service


def test_only_the_owner_can_read_the_data_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    build(folder, port=0)
    assert folder.stat().st_mode & 0o077 == 0


def test_the_page_of_settings_can_be_compared_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "configuration.md"

    def run(*arguments: str) -> int:
        options = parser().parse_args(["configuration", *arguments])
        status: int = options.command(options)
        return status

    assert run("--check", str(page)) == 1
    assert run("--write", str(page)) == 0
    assert run("--check", str(page)) == 0
    page.write_text(page.read_text().replace("LOOKOUT_INGEST__HTTP__PORT", "LOOKOUT_INGEST__HTTP__OTHER"))
    assert run("--check", str(page)) == 1
    assert "LOOKOUT_GATEWAY__SUPERADMIN_PASSWORD" in configuration.page()
