"""Digests: by which a secret is found again and from which it cannot be made."""

import hashlib
import hmac
import secrets
from ipaddress import IPv6Address, ip_address

from prevenant.access.tables import AccessKey
from prevenant.store import Store, insert_once, written_apart

_ORIGINS = "origins"
_SHOWN = 12


def digest_of(secret: str) -> str:
    """Return the SHA-256 under which a secret is kept: it is long and random, so that none is guessed."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


class Origins:
    """Digests the addresses that requests come from, under a secret that the store makes once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = b""

    def digest(self, address: str) -> str:
        """Return a short digest of the network that an address is in: the same for the same."""
        network = network_of(address)
        if not network:
            return ""
        self._key = self._key or self._find_key()
        return hmac.new(self._key, network.encode(), hashlib.sha256).hexdigest()[:_SHOWN]

    def _find_key(self) -> bytes:
        with written_apart(), self._store.write() as session:
            if session.get(AccessKey, _ORIGINS) is None:
                insert_once(session, AccessKey(name=_ORIGINS, value=secrets.token_hex(32)))
            return bytes.fromhex(session.get_one(AccessKey, _ORIGINS).value)


def network_of(address: str) -> str:
    """Return who is at an address: of IPv6 the /64, since one subscriber has as many as that."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    mapped = found.ipv4_mapped
    return str(mapped) if mapped else str(IPv6Address(int(found) >> 64 << 64))
