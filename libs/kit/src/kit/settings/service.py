"""The settings of one service: its blocks, and the default of each value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from kit.settings.blocks import (
    AuthSettings,
    GrpcSettings,
    HttpSettings,
    LogSettings,
    TracingSettings,
    needed,
    tokens_of,
)


class ServiceSettings(BaseSettings):
    """Settings that every service has. A service subclasses it, sets `service_name` and adds the blocks that it uses.

    The class variables are merged along the class hierarchy; their keys (`aliases`: values) are dotted paths
    such as `http.port`. `defaults` replace a block's own (a service's port), `embedded_defaults` apply in embedded
    mode only and may contain `{data_dir}` and `{service}`; `aliases` are additional environment names.
    The constructor reads nothing but its arguments: `kit.settings.load` reads the environment.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    service_name: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = {}
    embedded_defaults: ClassVar[Mapping[str, Any]] = {
        "database.url": "sqlite:///{data_dir}/{service}.db",
        "bus.url": "sqlite:///{data_dir}/bus.db",
        "blobs.url": "file://{data_dir}/blobs",
        "http.host": "127.0.0.1",
        "grpc.host": "127.0.0.1",
        "grpc.port": 0,
        "log.format": "console",
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "LOOKOUT_MODE": "mode",
        "LOOKOUT_DATA_DIR": "data_dir",
        "LOOKOUT_LOG_LEVEL": "log.level",
        "LOOKOUT_LOG_FORMAT": "log.format",
        "LOOKOUT_LOG_FILE": "log.file",
        "LOOKOUT_LOG_MAX_FILE_BYTES": "log.max_file_bytes",
        "LOOKOUT_LOG_MAX_FILES": "log.max_files",
        "LOOKOUT_TRACING_OTLP_ENDPOINT": "tracing.otlp_endpoint",
        "LOOKOUT_TRACING_SAMPLE_RATIO": "tracing.sample_ratio",
        "LOOKOUT_GRPC_TOKEN": "grpc.token",
        "LOOKOUT_JWKS_URL": "auth.jwks_url",
        "DATABASE_URL": "database.url",
        "DATABASE_PASSWORD": "database.password",
        "RABBITMQ_URL": "bus.url",
        "RABBITMQ_PASSWORD": "bus.password",
        "CORS_ORIGINS": "http.cors_origins",
        "MINIO_ENDPOINT": "blobs.endpoint",
        "MINIO_BUCKET_NAME": "blobs.bucket",
        "MINIO_ROOT_USER": "blobs.access_key",
        "MINIO_ROOT_PASSWORD": "blobs.secret_key",
    }

    mode: Literal["embedded", "distributed"] = Field(
        "distributed", description="`embedded`: one process on SQLite and a folder; `distributed`: servers"
    )
    data_dir: Path = Field(Path(".run"), description="folder of everything that embedded mode stores")
    log: LogSettings = Field(default_factory=LogSettings, description="logs")
    tracing: TracingSettings = Field(default_factory=TracingSettings, description="traces")
    http: HttpSettings = Field(default_factory=HttpSettings, description="REST listener")
    grpc: GrpcSettings = Field(default_factory=GrpcSettings, description="gRPC listener")
    auth: AuthSettings = Field(default_factory=AuthSettings, description="token checks")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - passed by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - passed by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - passed by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - passed by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments of the constructor."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        mode = data.get("mode") or cls.merged("defaults").get("mode", "distributed")
        filled = {**data, "mode": mode}
        data_dir = Path(filled.get("data_dir") or cls.model_fields["data_dir"].default).absolute()
        words = {"data_dir": str(data_dir), "service": cls.service_name}
        layers = [cls.merged("defaults")]
        if mode == "embedded":
            layers.insert(0, cls.merged("embedded_defaults"))
        for layer in layers:
            for path, value in layer.items():
                if has_path(cls, path):
                    put_if_absent(filled, path, value.format(**words) if isinstance(value, str) else value)
        for name, info in cls.model_fields.items():
            if name not in filled and block_of(info) is not None and info.is_required():
                filled[name] = {}  # the error then names the missing field of the block, not the block
        return filled

    @model_validator(mode="after")
    def _grpc_has_token(self) -> Self:
        if self.grpc.port and self.grpc.callers is None and not tokens_of(self.grpc.token):
            raise needed("grpc.token", "required while grpc.port is not 0, unless grpc.callers is set")
        return self

    @classmethod
    def merged(cls, name: str) -> dict[str, Any]:
        """One of the class variables, the subclass's entries over those of its bases."""
        values: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            values |= vars(base).get(name, {})
        return values

    @classmethod
    def env_prefix(cls) -> str:
        """`LOOKOUT_<SERVICE>__`."""
        return env_prefix(cls.service_name)


def env_prefix(service: str) -> str:
    """`LOOKOUT_<SERVICE>__`."""
    return f"LOOKOUT_{service.replace('-', '_').upper()}__"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value that can be set."""

    path: str
    env: str
    aliases: tuple[str, ...]
    field: FieldInfo

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be printed."""
        extra = self.field.json_schema_extra
        marked = isinstance(extra, dict) and bool(extra.get("secret"))
        return marked or SecretStr in (self.field.annotation, *get_args(self.field.annotation))


def leaves(cls: type[ServiceSettings]) -> list[Leaf]:
    """Everything that can be set in that class, in the order of its fields."""
    aliases: dict[str, list[str]] = {}
    for env, path in cls.merged("aliases").items():
        aliases.setdefault(path, []).append(env)
    return [
        Leaf(path, env_name(cls, path), tuple(aliases.get(path, ())), info) for path, info in _walk(cls, "")
    ]


def env_name(cls: type[ServiceSettings], path: str) -> str:
    """The environment name of a dotted path."""
    return cls.env_prefix() + path.replace(".", "__").upper()


def has_path(cls: type[BaseModel], path: str) -> bool:
    """Whether the class has a field there."""
    name, _, rest = path.partition(".")
    info = cls.model_fields.get(name)
    if info is None:
        return False
    block = block_of(info)
    return (block is not None and has_path(block, rest)) if rest else True


def block_of(info: FieldInfo) -> type[BaseModel] | None:
    """The block that a field holds, also where it is optional; None for a plain value."""
    candidates = (
        (info.annotation, *get_args(info.annotation)) if get_origin(info.annotation) is not dict else ()
    )
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _walk(cls: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in cls.model_fields.items():
        block = block_of(info)
        if block is None:
            yield prefix + name, info
        else:
            yield from _walk(block, f"{prefix}{name}.")


def put_if_absent(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path of nested dictionaries, unless it is set. A block object stays as it is."""
    name, _, rest = path.partition(".")
    if not rest:
        values.setdefault(name, value)
        return
    inner = values.get(name, {})
    if isinstance(inner, dict):
        values[name] = inner = dict(inner)
        put_if_absent(inner, rest, value)


class SecretsSettings(ServiceSettings):
    """Settings of a service that stores secrets; see `kit.service.open_secret_box`."""

    secrets_key: SecretStr = Field(
        SecretStr(""),
        description="key that stored secrets are encrypted with, 16 characters or more; several, separated by commas,"
        " while one is replaced: the first encrypts, all decrypt; required in distributed mode",
    )

    @model_validator(mode="after")
    def _has_secrets_key(self) -> Self:
        if self.mode == "distributed" and not self.secrets_key.get_secret_value():
            raise needed("secrets_key", "required in distributed mode")
        return self
