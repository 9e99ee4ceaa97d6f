"""Passwords: what a good one is, and how one is kept (Argon2id, in the parameters of RFC 9106)."""

import secrets
import threading
from dataclasses import dataclass, field
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from prevenant.errors import ConfigurationError

SHORTEST, LONGEST = 12, 200
_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_AT_ONCE = threading.BoundedSemaphore(2)
"""Each takes 64 MB while it is reckoned."""
_MADE_BYTES = 12


def check_password(password: str, name: str) -> None:
    """Judge a password that somebody chooses. Raises ConfigurationError with what is wrong."""
    if not SHORTEST <= len(password) <= LONGEST:
        message = f"a password has {SHORTEST} to {LONGEST} characters: choose several words"
        raise ConfigurationError(message)
    if len(set(password)) < SHORTEST // 2 or name in password.lower():
        message = "the password is easy to guess: choose several words, without your name"
        raise ConfigurationError(message)


@dataclass(frozen=True, slots=True)
class Fresh:
    """A password, and what is kept of it: reckoned before the store is held."""

    password: str = field(repr=False)
    kept: str = field(repr=False)


def make_password() -> Fresh:
    """Return a password that nobody can guess, for a first sign-in."""
    password = secrets.token_urlsafe(_MADE_BYTES)
    return Fresh(password, keep_password(password))


def keep_password(password: str) -> str:
    """Return what is kept of a password."""
    with _AT_ONCE:
        return _HASHER.hash(password)


def is_password(kept: str, given: str) -> bool:
    """Return whether a password is the one that is kept; it takes as long where none is kept."""
    if len(given) > LONGEST:
        return False
    compared = kept or _nobodys()
    with _AT_ONCE:
        try:
            return _HASHER.verify(compared, given) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(kept: str) -> bool:
    """Return whether a password is to be kept anew, since today's parameters are others."""
    return _HASHER.check_needs_rehash(kept)


@cache
def _nobodys() -> str:
    return keep_password(secrets.token_urlsafe())
