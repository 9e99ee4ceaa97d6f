"""Calls to addresses that somebody has typed: into the world outside, and nowhere else.

Whoever may name an address could else have our own network asked from within. Where a name leads is looked
at before anything is said, and again once the line stands, so that it cannot lead elsewhere meanwhile.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from prevenant.errors import ConfigurationError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2_000
_NAT64 = ip_network("64:ff9b::/96")
_SETTING = "PREVENANT_WEBHOOK_NETWORKS"


class Inside(NewConnectionError):
    """An address is not in the world outside, and in no network that is permitted."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of `10.0.0.0/8, fd00::/8`. Raises ValueError."""
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


def is_outside(address: Address) -> bool:
    """Return whether an address is one of the public internet, whatever form it is written in."""
    inner = _inner(address)
    if inner is not None:
        return is_outside(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _inner(address: Address) -> Address | None:
    """Return the address of the old kind that leads on from one of the new kind, or None."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


class Outside:
    """Where calls may go: into the world outside, and to networks that a setting permits."""

    def __init__(self, permitted: Sequence[Network] = ()) -> None:
        self._permitted = permitted

    def check_url(self, url: str) -> str:
        """Return an address that may be called, as far as it can be seen. Raises ConfigurationError."""
        try:
            parts = urlsplit(url)
            host, _port = parts.hostname or "", parts.port
        except ValueError:
            parts, host = urlsplit(""), ""
        plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST_URL
        if parts.scheme not in {"https", "http"} or not host or not plain:
            message = "write where to tell it as https://host/path"
            raise ConfigurationError(message)
        if parts.username is not None or parts.fragment:
            message = "write the address without user, password and #: what is signed proves enough"
            raise ConfigurationError(message)
        if parts.scheme == "http" and not self._permitted:
            message = f"write https://: plain http goes only into networks that {_SETTING} permits"
            raise ConfigurationError(message)
        try:
            literal: Address | None = ip_address(host.partition("%")[0])
        except ValueError:
            literal = ip_address("127.0.0.1") if _is_here(host) else None
        if literal is not None and not self._is_allowed(literal, parts.scheme):
            raise ConfigurationError(_refusal(host))
        return url

    def make_session(self) -> requests.Session:
        """Return a session whose lines lead nowhere else."""
        session = requests.Session()
        # What the environment says of proxies and passwords is not for whoever is called.
        session.trust_env = False
        for scheme in ("http", "https"):
            session.mount(f"{scheme}://", _Adapter(self))
        return session

    def check_name(self, connection: Any, scheme: str) -> None:
        """Refuse a name of which any address is inside, before anything is sent. Raises Inside."""
        try:
            found = socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)
        except OSError:
            message = "its name is not known"
            raise NewConnectionError(connection, message) from None
        for *_, place in found:
            self.check_address(connection, str(place[0]), scheme)

    def check_address(self, connection: Any, text: str, scheme: str) -> None:
        """Refuse an address that is inside. Raises Inside."""
        if not self._is_allowed(ip_address(text.partition("%")[0]), scheme):
            raise Inside(connection, _refusal(connection.host))

    def _is_allowed(self, address: Address, scheme: str) -> bool:
        inner = _inner(address) or address
        if any(inner in network for network in self._permitted):
            return True
        return scheme == "https" and is_outside(address)


def _is_here(host: str) -> bool:
    bare = host.rstrip(".")
    return bare == "localhost" or bare.endswith(".localhost")


def _refusal(host: str) -> str:
    return f"{host} is not in the world outside: permit its network with {_SETTING}, or use https"


class _Adapter(HTTPAdapter):
    """Has every connection look where it leads."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        super().__init__()

    def init_poolmanager(self, *args: Any, **values: Any) -> None:
        """Make the pools, whose connections look."""
        super().init_poolmanager(*args, **values)
        outside = self._outside

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                outside.check_name(self, "http")
                return _looked_at(outside, self, super()._new_conn(), "http")

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                outside.check_name(self, "https")
                return _looked_at(outside, self, super()._new_conn(), "https")

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _looked_at(
    outside: Outside, connection: Any, line: socket.socket, scheme: str
) -> socket.socket:
    """Return a line that stands, unless its other end is inside after all. Raises Inside."""
    try:
        outside.check_address(connection, str(line.getpeername()[0]), scheme)
    except (Inside, OSError):
        line.close()
        raise
    return line
