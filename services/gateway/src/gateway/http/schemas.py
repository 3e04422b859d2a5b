"""Request and response bodies of the gateway's own API."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, SecretStr, model_validator

from gateway.domain.accounts import Permission, Role, User
from gateway.domain.names import MAX_NAME_CHARS, clean_name, clean_permission_name
from gateway.handlers.issue_tokens import TokenPair
from gateway.handlers.read_own_access import OwnSessions
from kit.json_types import JSON_NUMBER, JsonBool
from kit.pagination import MAX_ID

RowId = Annotated[int, Field(ge=1, le=MAX_ID)]
# In the schema the limits of the name as it is stored; what is sent is longer if accents are characters of their own.
_NAME_SCHEMA: dict[str, JsonValue] = {"minLength": 1, "maxLength": MAX_NAME_CHARS, "pattern": r"^\S(.*\S)?$"}
Name = Annotated[str, Field(max_length=200, json_schema_extra=_NAME_SCHEMA), AfterValidator(clean_name)]
PermissionName = Annotated[
    str,
    Field(max_length=200, json_schema_extra={"pattern": "^[a-z0-9][a-z0-9_.:-]{0,63}$"}),
    AfterValidator(clean_permission_name),
]
Ids = Annotated[list[Annotated[RowId, JSON_NUMBER]], Field(max_length=500)]
Description = Annotated[str, Field(max_length=500)]

_READ_ONLY = frozenset(
    {
        "id",
        "user_id",
        "role_id",
        "permission_id",
        "roles",
        "permissions",
        "allowed_permissions",
        "is_built_in",
        "is_superadmin",
        "created_at",
        "updated_at",
    }
)


class RequestModel(BaseModel):
    """A request body: an unknown field is an error, and no error message contains a value."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ReadBack(RequestModel):
    """What was read, changed and sent back: what cannot be changed is ignored. Roles are set by `role_ids`, and
    permissions by `permission_ids`.
    """

    @model_validator(mode="before")
    @classmethod
    def _drop_read_only(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if name not in _READ_ONLY}


class Credentials(RequestModel):
    """A user name and password."""

    username: str = Field(max_length=1024)
    password: SecretStr = Field(max_length=4096)


class PasswordChange(RequestModel):
    """The present password and the new one."""

    current_password: SecretStr = Field(max_length=4096)
    new_password: SecretStr = Field(max_length=4096)


class PasswordReset(RequestModel):
    """A new password for somebody."""

    password: SecretStr = Field(max_length=4096)


class TokenRefresh(RequestModel):
    """A refresh token."""

    refresh_token: SecretStr = Field(max_length=1024)


class TokensOut(BaseModel):
    """Tokens with the names of OAuth 2 (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the type's name
    expires_in: int = Field(description="seconds that the access token is valid")
    refresh_token: str = Field(description="exchanged for new tokens at /api/v1/auth/refresh, once")

    @classmethod
    def of(cls, pair: TokenPair) -> Self:
        """The response to a sign-in."""
        return cls(
            access_token=pair.access_token, expires_in=pair.expires_in_s, refresh_token=pair.refresh_token
        )


class CallerOut(BaseModel):
    """The signed-in caller."""

    id: int
    user_id: int
    username: str
    roles: list[str]
    permissions: list[str]
    is_superadmin: bool = Field(description="may do everything, whatever `permissions` lists")


class AllowedOut(BaseModel):
    """A permission that the caller has."""

    name: str
    description: str


class SessionOut(BaseModel):
    """A sign-in of the caller that has not ended."""

    started_at: datetime
    expires_at: datetime = Field(description="if it is not used until then")
    is_current: bool = Field(description="the session of this request")


class SessionsOut(BaseModel):
    """The latest sessions of the caller."""

    items: list[SessionOut] = Field(description="at most 100, the latest first")
    total: int = Field(description="how many there are in all")

    @classmethod
    def of(cls, own: OwnSessions) -> Self:
        """The response."""
        items = [
            SessionOut(
                started_at=one.started_at,
                expires_at=one.expires_at,
                is_current=one.session_id == own.current_id,
            )
            for one in own.items
        ]
        return cls(items=items, total=own.total)


class PermissionTestOut(BaseModel):
    """Whether the caller has each of the permissions."""

    permissions: dict[str, bool]
    is_superadmin: bool


class RoleReference(BaseModel):
    """A role, by id and name."""

    id: int
    role_id: int
    name: str


class UserOut(BaseModel):
    """A user, without the password."""

    id: int
    user_id: int
    username: str
    is_active: bool
    roles: list[RoleReference]
    role_ids: list[int]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, user: User) -> Self:
        """The response for a user."""
        return cls(
            id=user.user_id,
            user_id=user.user_id,
            username=user.username,
            is_active=user.is_active,
            roles=[RoleReference(id=role_id, role_id=role_id, name=name) for role_id, name in user.roles],
            role_ids=[role_id for role_id, _ in user.roles],
            created_at=user.created_at,
            updated_at=user.updated_at,
        )


class UserCreate(RequestModel):
    """A new user."""

    username: Name
    password: SecretStr
    role_ids: Ids = Field(default_factory=list)


class UserReplace(ReadBack):
    """A replaced user. What is left out stays unchanged, except the name, which is required: a client cannot read
    the password to send it back, and one that does not know `is_active` must not enable a disabled user.
    """

    username: Name
    password: SecretStr | None = None
    role_ids: Ids | None = None
    is_active: JsonBool | None = None


class UserUpdate(RequestModel):
    """What is left out or null stays unchanged."""

    username: Name | None = None
    password: SecretStr | None = None
    role_ids: Ids | None = None
    is_active: JsonBool | None = None


class PermissionOut(BaseModel):
    """A permission; services check the built-in ones."""

    id: int
    permission_id: int
    name: str
    description: str
    is_built_in: bool

    @classmethod
    def of(cls, permission: Permission) -> Self:
        """The response for a permission."""
        return cls(
            id=permission.permission_id,
            permission_id=permission.permission_id,
            name=permission.name,
            description=permission.description,
            is_built_in=permission.is_built_in,
        )


class PermissionReference(BaseModel):
    """A permission, by id and name."""

    id: int
    permission_id: int
    name: str


class RoleOut(BaseModel):
    """A role."""

    id: int
    role_id: int
    name: str
    is_built_in: bool
    is_superadmin: bool = Field(description="allows everything, whatever `permissions` lists")
    permissions: list[PermissionReference]
    permission_ids: list[int]
    allowed_permissions: list[PermissionReference] = Field(
        description="what the role allows: every permission for the superadmin role, else those of `permissions`"
    )

    @classmethod
    def of(cls, role: Role) -> Self:
        """The response for a role."""
        return cls(
            id=role.role_id,
            role_id=role.role_id,
            name=role.name,
            is_built_in=role.is_built_in,
            is_superadmin=role.is_superadmin,
            permission_ids=[permission_id for permission_id, _ in role.permissions],
            permissions=[
                PermissionReference(id=permission_id, permission_id=permission_id, name=name)
                for permission_id, name in role.permissions
            ],
            allowed_permissions=[
                PermissionReference(id=permission_id, permission_id=permission_id, name=name)
                for permission_id, name in role.allowed
            ],
        )


class RoleCreate(RequestModel):
    """A new role, or a replaced role."""

    name: Name
    permission_ids: Ids = Field(default_factory=list)


class RoleUpdate(RequestModel):
    """What is left out or null stays unchanged."""

    name: Name | None = None
    permission_ids: Ids | None = None


class PermissionCreate(RequestModel):
    """A new permission, or a replaced permission."""

    name: PermissionName
    description: Description = ""


class RoleReplace(RoleCreate, ReadBack):
    """A replaced role."""


class PermissionReplace(PermissionCreate, ReadBack):
    """A replaced permission."""


class PermissionUpdate(RequestModel):
    """What is left out or null stays unchanged."""

    name: PermissionName | None = None
    description: Description | None = None


_NEW_PASSWORDS = (
    ("UserCreate", "password"),
    ("UserReplace", "password"),
    ("UserUpdate", "password"),
    ("PasswordReset", "password"),
    ("PasswordChange", "new_password"),
)


def publish_password_lengths(document: dict[str, Any], *, min_chars: int, max_chars: int) -> None:
    """Write the lengths of a password that may be set into an OpenAPI document; the two are settings."""
    for model, name in _NEW_PASSWORDS:
        field = document["components"]["schemas"][model]["properties"][name]
        field["minLength"], field["maxLength"] = min_chars, max_chars
