"""The rule book in force as whoever changes it has read it, so that nobody overwrites another's work."""

from typing import Any

from fastapi import Request
from sqlmodel import Session

from prevenant.api.etags import check_unchanged
from prevenant.publishing import BookVersion, find_active


def check_in_force(request: Request, session: Session) -> None:
    """Refuse to publish over a version that is not the one that was read."""

    def find() -> dict[str, Any] | None:
        active = find_active(session)
        return view_in_force(active) if active else None

    check_unchanged(request, find)


def view_in_force(version: BookVersion) -> dict[str, Any]:
    """Return a version with its texts, without what engines say of it later."""
    hidden = {"id", "is_active", "in_force_at", "from_seq", "refused", "files"}
    return {
        "version": version.id,
        **version.model_dump(exclude=hidden),
        "texts": dict(version.files),
    }
