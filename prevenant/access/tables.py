"""People who may sign in, programs that may ask, what they were granted, and what they did."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from prevenant.rows import TableRow
from prevenant.tables import json_column, list_column, utc_column

EVERYWHERE, AREA, CUSTOMER, SITE = "", "area", "customer", "site"
"""Where a grant holds."""
PLACES = (AREA, CUSTOMER, SITE)


class Account(TableRow, table=True):
    """A person who may sign in."""

    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    name: str = Field(primary_key=True)
    """What is typed to sign in, in lower case."""
    shown_name: str
    """What stands in the story."""
    password: str = ""
    """An Argon2 digest; empty: cannot sign in by password."""
    password_at: datetime | None = utc_column(nullable=True)
    must_change: bool = False
    """Whether another one knows the password, so that it has to be changed at the next sign-in."""
    issuer: str | None = None
    """The OpenID provider that vouches for the person, and who they are there."""
    subject: str | None = None
    is_active: bool = True
    created_at: datetime = utc_column()
    created_by: str = ""
    signed_in_at: datetime | None = utc_column(nullable=True)


class ApiToken(TableRow, table=True):
    """A token that opens the API and the console; only its SHA-256 is kept."""

    __tablename__ = "api_token"

    name: str = Field(primary_key=True)
    """What stands in the story."""
    digest: str = Field(unique=True)
    scopes: list[str] = list_column()
    """The parts of the API to which it is kept, as `cases` or `readings:write`; none: to no part."""
    created_at: datetime = utc_column()
    created_by: str = ""
    expires_at: datetime | None = utc_column(nullable=True)
    revoked_at: datetime | None = utc_column(nullable=True)
    revoked_by: str = ""
    used_at: datetime | None = utc_column(nullable=True)
    """When it was used last, to the hour."""


class AccessGrant(TableRow, table=True):
    """A role of a person or of a token, everywhere or at a group of sites."""

    __tablename__ = "access_grant"

    id: int | None = Field(default=None, primary_key=True)
    account: str | None = Field(default=None, foreign_key="account.name", index=True)
    token: str | None = Field(default=None, foreign_key="api_token.name", index=True)
    role: int
    place: str = EVERYWHERE
    """`area`, `customer` or `site`; empty: everywhere."""
    place_id: str = ""
    is_by_group: bool = False
    """Whether a group at the OpenID provider gives it: it is judged anew at each sign-in."""
    given_at: datetime = utc_column()
    given_by: str = ""


class SignIn(TableRow, table=True):
    """A browser in which somebody has signed in; its cookie's SHA-256 alone is kept."""

    __tablename__ = "sign_in"
    __table_args__ = (Index("ix_sign_in_expires_at", "expires_at"),)

    digest: str = Field(primary_key=True)
    account: str | None = Field(default=None, foreign_key="account.name", index=True)
    token: str | None = Field(default=None, foreign_key="api_token.name", index=True)
    method: str
    """`password`, `openid` or `token`."""
    created_at: datetime = utc_column()
    seen_at: datetime = utc_column()
    """When it was used last, give or take a little."""
    expires_at: datetime = utc_column()
    ended_at: datetime | None = utc_column(nullable=True)
    """When the person signed out, or was signed out."""
    agent: str = ""
    """What the browser calls itself, shortened."""
    origin: str = ""
    """A digest of the address that it came from."""


class Act(TableRow, table=True):
    """One line of the trail: somebody did something, or tried to."""

    __table_args__ = (Index("ix_act_actor", "actor", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = utc_column()
    actor: str
    """Who, as the story has it; empty where nobody is known."""
    key: str = ""
    """Which account or token it was."""
    method: str
    route: str
    """What, without what it was done on: `/api/v1/cases/{case_id}/take`."""
    path: str
    """On what; secrets are left out."""
    outcome: str = Field(index=True)
    """`begun`, and once it is known `done`, `refused` or `failed`."""
    status: int = 0
    """The answer's code."""
    origin: str = ""
    """A digest of the address that it came from."""
    detail: dict[str, Any] = json_column()


class AccessKey(TableRow, table=True):
    """A secret of this store, made once."""

    __tablename__ = "access_key"

    name: str = Field(primary_key=True)
    value: str
