"""Roles: what somebody may do, and where."""

from dataclasses import dataclass
from enum import IntEnum

LONGEST_NAME = 100
_NOTHING: frozenset[str] = frozenset()


class Role(IntEnum):
    """What somebody may do; each may do all that those before it may."""

    VIEWER = 1
    """Look."""
    OPERATOR = 2
    """Acknowledge, take over, shelve, resolve, answer customers, adopt devices."""
    AUTHOR = 3
    """Change rules, workflows, texts and models."""
    ADMINISTRATOR = 4
    """Change people, places, access and settings."""

    @property
    def word(self) -> str:
        """The role as people write it: `operator`."""
        return self.name.lower()


ROLE_WORDS = tuple(role.word for role in Role)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, everywhere (`sites` is None) or at some sites."""

    role: Role
    sites: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks. `name` stands in the story beside what they do."""

    name: str
    grants: tuple[Grant, ...]
    key: str = ""
    """Whose it is, one and the same for every request: `account camille`, `token desk`."""
    speaks_for_others: bool = False
    """Whether it may say on whose behalf it does something: a program may, a person may not."""
    scopes: frozenset[str] = _NOTHING
    """Of a token: the parts of the API to which it is kept, as `cases:read`; empty: to none of them."""
    sign_in: str = ""
    """Of a browser: the digest of its sign-in."""
    must_change: bool = False
    """Whether the password has to be changed before anything else."""

    def sites(self, role: Role = Role.VIEWER) -> frozenset[str] | None:
        """Return the sites at which the actor has a role; None is everywhere."""
        found = _NOTHING
        for grant in self.grants:
            if grant.role >= role:
                if grant.sites is None:
                    return None
                found |= grant.sites
        return found

    def may(self, role: Role, site_id: str | None = None) -> bool:
        """Return whether the actor has a role at a site; without one, whether anywhere at all."""
        sites = self.sites(role)
        return sites is None or (bool(sites) if site_id is None else site_id in sites)

    def may_everywhere(self, role: Role) -> bool:
        """Return whether the actor has a role at every site, those to come included."""
        return self.sites(role) is None

    def signs(self, by: str = "") -> str:
        """Return who stands in the story: the actor, or whom a program names (`Camille (via desk)`)."""
        named = " ".join("".join(c if c.isprintable() else " " for c in by).split())
        if not (self.speaks_for_others and named) or named == self.name:
            return self.name
        return f"{named[:LONGEST_NAME]} (via {self.name})"

    def is_in_scope(self, part: str, *, reads: bool) -> bool:
        """Return whether the actor's token opens a part of the API: `cases`, to read or to change it."""
        if not self.scopes:
            return True
        return part in self.scopes or f"{part}:{'read' if reads else 'write'}" in self.scopes
