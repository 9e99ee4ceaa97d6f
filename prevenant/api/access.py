"""Who may ask: a token in the `Authorization` header, or the cookie that a link with it has set."""

import hashlib
import secrets
from datetime import datetime

from fastapi import HTTPException, Request, status

from prevenant.store import Store
from prevenant.tables import ApiToken

COOKIE = "prevenant"
_ADMIN = "admin"


def digest_of(token: str) -> str:
    """Return the SHA-256 under which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def ensure_admin_token(store: Store, wanted: str, now: datetime) -> str | None:
    """Make sure that there is an administrator; return a token that was made just now, or None."""
    with store.write() as session:
        known = session.get(ApiToken, _ADMIN)
        if wanted:
            session.merge(ApiToken(name=_ADMIN, digest=digest_of(wanted), created_at=now))
            return None
        if known is not None:
            return None
        token = secrets.token_urlsafe(24)
        session.add(ApiToken(name=_ADMIN, digest=digest_of(token), created_at=now))
        return token


def is_allowed(store: Store, token: str) -> bool:
    """Return whether a token opens the API."""
    digest = digest_of(token)
    with store.read() as session:
        admin = session.get(ApiToken, _ADMIN)
    return admin is not None and secrets.compare_digest(admin.digest, digest)


def token_of(request: Request) -> str:
    """Return the token that a request carries, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")


def require_token(request: Request) -> None:
    """Refuse a request without a good token."""
    store: Store = request.app.state.store
    if not is_allowed(store, token_of(request)):
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED,
            "send the administrator's token: Authorization: Bearer …",
            {"WWW-Authenticate": "Bearer"},
        )
