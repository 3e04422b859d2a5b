"""What the gateway's own API takes and gives."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from gateway.domain.names import clean_name, clean_permission_name
from gateway.handlers.issue_tokens import TokenPair
from gateway.store.roles import Permission, Role
from gateway.store.users import User

# Ids are BIGINT in the database: anything larger is an error there, and not merely unknown.
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Name = Annotated[str, Field(max_length=200), AfterValidator(clean_name)]
PermissionName = Annotated[str, Field(max_length=200), AfterValidator(clean_permission_name)]
Ids = Annotated[list[RowId], Field(max_length=500)]
Description = Annotated[str, Field(max_length=500)]


class Given(BaseModel):
    """What a caller sends; a misspelt field is an error, and no error repeats a value."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Credentials(Given):
    """A user name and password."""

    username: str = Field(max_length=1024)
    password: SecretStr = Field(max_length=4096)


class RefreshGiven(Given):
    """A refresh token."""

    refresh_token: SecretStr = Field(max_length=1024)


class Tokens(BaseModel):
    """Tokens as OAuth 2 names them (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the type's name
    expires_in: int = Field(description="seconds that the access token is valid")
    refresh_token: str = Field(description="gets new tokens at /api/v1/auth/refresh, once")

    @classmethod
    def of(cls, pair: TokenPair) -> Self:
        """The answer to a sign-in."""
        return cls(
            access_token=pair.access_token, expires_in=pair.expires_in_s, refresh_token=pair.refresh_token
        )


class Me(BaseModel):
    """The signed-in caller."""

    id: int
    user_id: int
    username: str
    roles: list[str]
    permissions: list[str]


class PermissionTest(BaseModel):
    """Whether the caller holds what was asked about."""

    permissions: dict[str, bool]
    is_superadmin: bool


class RoleName(BaseModel):
    """A role, by id and name."""

    id: int
    role_id: int
    name: str


class UserShown(BaseModel):
    """A user; passwords are never shown."""

    id: int
    user_id: int
    username: str
    is_active: bool
    roles: list[RoleName]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, user: User) -> Self:
        """The user as callers see it."""
        return cls(
            id=user.user_id,
            user_id=user.user_id,
            username=user.username,
            is_active=user.is_active,
            roles=[RoleName(id=role_id, role_id=role_id, name=name) for role_id, name in user.roles],
            created_at=user.created_at,
            updated_at=user.updated_at,
        )


class UserGiven(Given):
    """A new user."""

    username: Name
    password: SecretStr
    role_ids: Ids = Field(default_factory=list)


class UserReplaced(Given):
    """A user set anew. What is left out stays, but for the name: nobody can read a password to send it back,
    and an older client that knows of no `is_active` must not undo a disabling.
    """

    username: Name
    password: SecretStr | None = None
    role_ids: Ids | None = None
    is_active: bool | None = None


class UserPatched(Given):
    """What is left out, or null, stays."""

    username: Name | None = None
    password: SecretStr | None = None
    role_ids: Ids | None = None
    is_active: bool | None = None


class PermissionShown(BaseModel):
    """A permission; the built-in ones are what the services ask for."""

    id: int
    permission_id: int
    name: str
    description: str
    is_built_in: bool

    @classmethod
    def of(cls, permission: Permission) -> Self:
        """The permission as callers see it."""
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


class RoleShown(BaseModel):
    """A role."""

    id: int
    role_id: int
    name: str
    is_built_in: bool
    permissions: list[PermissionReference]

    @classmethod
    def of(cls, role: Role) -> Self:
        """The role as callers see it."""
        return cls(
            id=role.role_id,
            role_id=role.role_id,
            name=role.name,
            is_built_in=role.is_built_in,
            permissions=[
                PermissionReference(id=permission_id, permission_id=permission_id, name=name)
                for permission_id, name in role.permissions
            ],
        )


class RoleGiven(Given):
    """A new role, or a role set anew."""

    name: Name
    permission_ids: Ids = Field(default_factory=list)


class RolePatched(Given):
    """What is left out, or null, stays."""

    name: Name | None = None
    permission_ids: Ids | None = None


class PermissionGiven(Given):
    """A new permission, or a permission set anew."""

    name: PermissionName
    description: Description = ""


class PermissionPatched(Given):
    """What is left out, or null, stays."""

    name: PermissionName | None = None
    description: Description | None = None
