"""Settings: frozen blocks, read once from the environment by `load` and passed down."""

from kit.settings.blocks import (
    AuthSettings,
    BlobSettings,
    Block,
    BusSettings,
    DatabaseSettings,
    DiskSettings,
    GrpcSettings,
    HttpSettings,
    LogSettings,
    PictureLimitSettings,
    TracingSettings,
    needed,
)
from kit.settings.environment import SettingsError, load, read
from kit.settings.service import SecretsSettings, ServiceSettings

__all__ = [
    "AuthSettings",
    "BlobSettings",
    "Block",
    "BusSettings",
    "DatabaseSettings",
    "DiskSettings",
    "GrpcSettings",
    "HttpSettings",
    "LogSettings",
    "PictureLimitSettings",
    "SecretsSettings",
    "ServiceSettings",
    "SettingsError",
    "TracingSettings",
    "load",
    "needed",
    "read",
]
