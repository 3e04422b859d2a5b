import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, SecretStr, ValidationError
from sqlalchemy import make_url
from yarl import URL

from kit.settings import (
    BlobSettings,
    BusSettings,
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    ServiceSettings,
    SettingsError,
    load,
    read,
)


class ToySettings(ServiceSettings):
    service_name = "toy-box"
    defaults: ClassVar[dict[str, Any]] = {"http.port": 8199, "grpc.port": 9199}
    embedded_defaults: ClassVar[dict[str, Any]] = {"key": "only-embedded"}
    aliases: ClassVar[dict[str, str]] = {"TOY_KEY": "key"}

    database: DatabaseSettings = Field(description="database")
    bus: BusSettings = Field(description="bus")
    blobs: BlobSettings = Field(description="blobs")
    key: SecretStr = Field(description="key of the toy box")
    sizes_px: tuple[int, ...] = Field((1, 2), description="sizes in pixels")
    labels: dict[str, str] = Field(default_factory=dict, description="labels")


WHOLE = {
    "DATABASE_URL": "postgresql://u:hunter2@db/toys",
    "RABBITMQ_URL": "amqp://u:hunter2@mq/",
    "MINIO_ENDPOINT": "minio:9000",
    "MINIO_ROOT_USER": "minio",
    "MINIO_ROOT_PASSWORD": "hunter2",
    "LOOKOUT_GRPC_TOKEN": "hunter2",
    "TOY_KEY": "hunter2",
}


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(ToySettings, environ={**WHOLE, **environ})
    return caught.value.problems


def test_the_documented_names_give_complete_settings() -> None:
    settings = read(ToySettings, environ=WHOLE)
    assert settings.mode == "distributed"
    assert settings.database.url == "postgresql+psycopg://u:hunter2@db/toys"
    assert settings.bus.url == "amqp://u:hunter2@mq/"
    assert settings.blobs.url == "s3://minio:9000/lookout"
    assert settings.blobs.secret_key.get_secret_value() == "hunter2"
    assert settings.http.port == 8199
    assert settings.grpc.port == 9199
    assert settings.log.format == "json"


def test_a_name_takes_precedence_over_its_alias() -> None:
    environ = {**WHOLE, "LOOKOUT_TOY_BOX__DATABASE__URL": "sqlite:////tmp/own.db"}
    assert read(ToySettings, environ=environ).database.url == "sqlite+aiosqlite:////tmp/own.db"


def test_the_environment_wins_over_a_programs_defaults_and_those_over_the_classes() -> None:
    defaults = {"http.port": 1234, "mode": "embedded", "http.host": "::1"}
    settings = read(ToySettings, environ={"LOOKOUT_TOY_BOX__HTTP__HOST": "10.0.0.1"}, defaults=defaults)
    assert (settings.http.port, settings.http.host, settings.mode) == (1234, "10.0.0.1", "embedded")


def test_embedded_mode_needs_nothing_and_stays_on_the_loopback(tmp_path: Path) -> None:
    settings = read(ToySettings, environ={"LOOKOUT_MODE": "embedded", "LOOKOUT_DATA_DIR": str(tmp_path)})
    assert settings.database.url == f"sqlite+aiosqlite:///{tmp_path}/toy-box.db"
    assert settings.bus.url == f"sqlite:///{tmp_path}/bus.db"
    assert settings.blobs.url == f"file://{tmp_path}/blobs"
    assert settings.key.get_secret_value() == "only-embedded"
    assert (settings.http.host, settings.grpc.port, settings.log.format) == ("127.0.0.1", 0, "console")


def test_outside_embedded_mode_every_secret_must_be_given() -> None:
    with pytest.raises(SettingsError) as caught:
        read(ToySettings, environ={})
    named = [problem.split(":")[0] for problem in caught.value.problems]
    assert named == [
        "LOOKOUT_TOY_BOX__DATABASE__URL (or DATABASE_URL)",
        "LOOKOUT_TOY_BOX__BUS__URL (or RABBITMQ_URL)",
        "LOOKOUT_TOY_BOX__BLOBS__URL",
        "LOOKOUT_TOY_BOX__KEY (or TOY_KEY)",
    ]
    assert all("required and not set" in problem for problem in caught.value.problems)


def test_grpc_without_a_token_is_refused_unless_it_is_off() -> None:
    environ = {name: value for name, value in WHOLE.items() if name != "LOOKOUT_GRPC_TOKEN"}
    with pytest.raises(SettingsError, match=r"GRPC__TOKEN \(or LOOKOUT_GRPC_TOKEN\): required"):
        read(ToySettings, environ=environ)
    assert read(ToySettings, environ={**environ, "LOOKOUT_TOY_BOX__GRPC__PORT": "0"}).grpc.port == 0
    named = read(ToySettings, environ={**environ, "LOOKOUT_TOY_BOX__GRPC__CALLERS": "{}"})
    assert named.grpc.callers == {}


@pytest.mark.parametrize(
    ("callers", "message"),
    [
        ("shop", "CALLERS: is not valid JSON"),
        ('{"shop": {"token": "", "methods": []}}', "CALLERS: a caller needs a token"),
        ('{"shop": {"token": " , ", "methods": []}}', "CALLERS: a caller needs a token"),
        ('{"shop": {"methods": []}}', "CALLERS: required"),
        ('{"shop": {"token": "hunter2", "methods": ["Toy"]}}', "'Toy' is no method"),
        ('{"shop": {"token": "hunter2", "methods": ["*"]}}', "'\\*' is no method"),
        (
            '{"shop": {"token": "a", "methods": []}, "printer": {"token": "hunter2,a", "methods": []}}',
            "CALLERS: shop and printer have the same token",
        ),
    ],
)
def test_callers_that_are_not_clear_are_refused(callers: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(ToySettings, environ={**WHOLE, "LOOKOUT_TOY_BOX__GRPC__CALLERS": callers})
    assert "hunter2" not in str(caught.value)


def test_the_callers_tokens_are_not_printed() -> None:
    callers = '{"shop": {"token": "hunter3", "methods": ["toy.Toy/*"]}}'
    settings = read(ToySettings, environ={**WHOLE, "LOOKOUT_TOY_BOX__GRPC__CALLERS": callers})
    assert settings.grpc.callers is not None
    assert "hunter3" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LOOKOUT_TOY_BOX__HTTP__PORT", "http", "valid integer"),
        ("LOOKOUT_TOY_BOX__HTTP__PORT", "70000", "65535"),
        ("LOOKOUT_TOY_BOX__HTTP__PROT", "80", "the nearest is LOOKOUT_TOY_BOX__HTTP__PORT"),
        ("LOOKOUT_TOY_BOX__HTTP_PORT", "80", "the nearest is LOOKOUT_TOY_BOX__HTTP__PORT"),
        ("lookout_toy_box__http__port", "80", "the nearest is LOOKOUT_TOY_BOX__HTTP__PORT"),
        ("LOOKOUT_TOY_BOX__SIZES_PX", "1,x", "valid integer"),
        ("LOOKOUT_TOY_BOX__LABELS", "{not json", "not valid JSON"),
        ("LOOKOUT_TOY_BOX__LOG__LEVEL", "LOUD", "DEBUG"),
        ("LOOKOUT_TOY_BOX__MODE", "standalone", "embedded"),
        ("LOOKOUT_TOY_BOX__BUS__RETRY_DELAYS_S", "1,-5", "more than 0"),
        ("LOOKOUT_TOY_BOX__BUS__PUBLISH_TIMEOUT_S", "nan", "LOOKOUT_TOY_BOX__BUS__PUBLISH_TIMEOUT_S"),
        ("CORS_ORIGINS", "example.org", "is not an origin"),
        ("CORS_ORIGINS", "*,https://a.example", "cannot be combined"),
        ("DATABASE_URL", "mysql+pymysql://u:hunter2@db/toys", "MySQL is not supported"),
        ("DATABASE_URL", "oracle://u:hunter2@db/toys", "oracle:// is not supported"),
        ("DATABASE_URL", "toys.db", "write postgresql://"),
        ("DATABASE_URL", "sqlite://", "sqlite:///"),
        ("RABBITMQ_URL", "http://mq", "amqp://"),
        ("LOOKOUT_TOY_BOX__BLOBS__URL", "minio:9000", "s3://host:port/bucket"),
        ("LOOKOUT_TOY_BOX__GRPC__TLS_KEY", "/key.pem", "GRPC__TLS_CERTIFICATE: required"),
        ("MINIO_ROOT_PASSWORD", "", "(or MINIO_ROOT_PASSWORD): required for an S3 store"),
        ("LOOKOUT_TOY_BOX__GRPC__IS_CLIENT_CERTIFICATE_REQUIRED", "true", "GRPC__TLS_CA: required"),
    ],
)
def test_a_wrong_value_is_one_clear_line_with_the_name_and_no_value(
    name: str, value: str, message: str
) -> None:
    (line,) = problems(**{name: value})
    assert message in line
    assert "LOOKOUT_TOY_BOX__" in line
    assert "hunter2" not in line
    assert "\n" not in line


def test_all_problems_are_reported_at_once() -> None:
    assert len(problems(DATABASE_URL="", LOOKOUT_TOY_BOX__HTTP__PORT="x", LOOKOUT_TOY_BOX__NOPE="1")) == 3


def test_load_prints_the_problems_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(ToySettings, environ={**WHOLE, "TOY_KEY": ""})
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message == (
        "toy-box: LOOKOUT_TOY_BOX__KEY (or TOY_KEY): required and not set: key of the toy box\n"
    )


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("*", ("*",)),
        ("https://a.example, http://b.example:3000/", ("https://a.example", "http://b.example:3000")),
        ('["https://a.example"]', ("https://a.example",)),
        ("  ", ()),
    ],
)
def test_cors_origins_are_comma_separated(given: str, origins: tuple[str, ...]) -> None:
    assert read(ToySettings, environ={**WHOLE, "CORS_ORIGINS": given}).http.cors_origins == origins


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgres://u@h/n", "postgresql+psycopg://u@h/n"),
        ("postgresql://u@h/n?sslmode=require", "postgresql+psycopg://u@h/n?sslmode=require"),
        ("postgresql+psycopg://u@h/n", "postgresql+psycopg://u@h/n"),
        ("sqlite:///toys.db", "sqlite+aiosqlite:///toys.db"),
        ("sqlite+aiosqlite:////toys.db", "sqlite+aiosqlite:////toys.db"),
    ],
)
def test_a_database_url_names_its_driver_afterwards(given: str, url: str) -> None:
    assert DatabaseSettings(url=given).url == url


@pytest.mark.parametrize(
    ("parts", "url", "is_secure"),
    [
        ({"endpoint": "minio:9000"}, "s3://minio:9000/lookout", False),
        ({"endpoint": "https://s3.example/", "bucket": "cars"}, "s3://s3.example/cars", True),
        ({"endpoint": "http://s3.example"}, "s3://s3.example/lookout", False),
        ({"url": "s3://own:1/b", "endpoint": "other:2"}, "s3://own:1/b", False),
    ],
)
def test_a_blob_url_may_be_given_in_parts(parts: dict[str, str], url: str, is_secure: bool) -> None:
    blobs = BlobSettings.model_validate({**parts, "access_key": "a", "secret_key": "s"})
    assert (blobs.url, blobs.is_secure) == (url, is_secure)


def test_an_s3_store_needs_its_keys() -> None:
    with pytest.raises(ValidationError, match="required for an S3 store"):
        BlobSettings(url="s3://h:1/b", access_key="a")


def test_settings_do_not_show_secrets_and_cannot_be_changed() -> None:
    settings = read(ToySettings, environ=WHOLE)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    with pytest.raises(ValidationError):
        settings.http = HttpSettings()
    with pytest.raises(ValidationError):
        settings.http.port = 1


def test_the_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@elsewhere/n")
    monkeypatch.setenv("LOOKOUT_TOY_BOX__HTTP__PORT", "1")
    settings = ToySettings(mode="embedded")
    assert settings.http.port == 8199
    assert settings.database.url.startswith("sqlite")


def test_a_block_given_as_an_object_is_used_unchanged() -> None:
    settings = ToySettings(mode="embedded", http=HttpSettings(port=0), grpc=GrpcSettings())
    assert (settings.http.port, settings.http.host) == (0, HttpSettings().host)
    assert settings.grpc.host == GrpcSettings().host != "127.0.0.1"


@pytest.mark.parametrize("password", ["plain", "p@ss/word:#?%&=+ ä", "%40"])
def test_a_password_apart_from_its_url_needs_no_escaping(password: str) -> None:
    database = DatabaseSettings(url="postgresql://shop:old@db:5432/shop", password=password)
    assert make_url(database.url).password == password
    assert make_url(database.url).host == "db"
    bus = BusSettings(url="amqp://shop@broker:5672/vhost", password=password)
    assert (URL(bus.url).password, URL(bus.url).user, URL(bus.url).host) == (password, "shop", "broker")
    assert DatabaseSettings(url="sqlite:///shop.db", password=password).url.endswith(":///shop.db")
    assert password not in repr(database) or password == "plain"


class ShopSettings(ServiceSettings):
    service_name = "shop"

    database: DatabaseSettings = Field(description="orders")


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/word\n")
    environ = {
        "LOOKOUT_MODE": "embedded",
        "DATABASE_URL": "postgresql://shop@db/shop",
        "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
    }
    assert make_url(read(ShopSettings, environ=environ).database.url).password == "p@ss/word"
    own = {**environ, "LOOKOUT_SHOP__DATABASE__PASSWORD_FILE": str(tmp_path / "password")}
    del own["DATABASE_PASSWORD_FILE"]
    assert make_url(read(ShopSettings, environ=own).database.url).password == "p@ss/word"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"DATABASE_PASSWORD_FILE": "/none"}, "DATABASE_PASSWORD_FILE: /none cannot be read: No such file"),
        (
            {"DATABASE_PASSWORD": "x", "DATABASE_PASSWORD_FILE": "/dev/null"},
            "DATABASE_PASSWORD: set, and so is DATABASE_PASSWORD_FILE",
        ),
        ({"LOOKOUT_SHOP__HTTP__PORT_FILE": "/dev/null"}, "LOOKOUT_SHOP__HTTP__PORT_FILE: no such setting"),
    ],
)
def test_what_is_wrong_with_a_secrets_file_is_said(changes: dict[str, str], problem: str) -> None:
    environ = {"LOOKOUT_MODE": "embedded", "DATABASE_URL": "postgresql://shop@db/shop", **changes}
    with pytest.raises(SettingsError, match=re.escape(problem)):
        read(ShopSettings, environ=environ)
