"""Where Kafka is: `kafka://host:9092,host:9092`; with TLS `kafkas://user:password@host:9093?ca=ca.pem`."""

import ssl
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, unquote

_SCHEMES = {"kafka": False, "kafkas": True}
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_OPTIONS = ("ca", "cert", "key", "mechanism")
_PORT, _LAST_PORT = 9_092, 65_535
_FORM = "write kafka://host:9092,host:9092, or kafkas://user:password@host:9093?ca=ca.pem"


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """The brokers that are asked first, and how we make ourselves known to them."""

    servers: tuple[str, ...]
    has_tls: bool = False
    user: str = ""
    password: str = ""
    mechanism: str = "PLAIN"
    ca: str = ""
    cert: str = ""
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises ValueError with the form that is expected."""
        scheme, found, rest = text.partition("://")
        rest, _, query = rest.partition("?")
        who, _, hosts = rest.rpartition("@")
        if scheme not in _SCHEMES or not found or not hosts:
            raise ValueError(_FORM)
        options = {name: values[-1] for name, values in parse_qs(query).items()}
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            message = f"?{unknown[0]}= is not known in Kafka's address: write one of {_OPTIONS}"
            raise ValueError(message)
        if options.get("mechanism", "PLAIN") not in _MECHANISMS:
            message = f"?mechanism= in Kafka's address is one of {', '.join(_MECHANISMS)}"
            raise ValueError(message)
        user, _, password = who.partition(":")
        servers = tuple(_server(host) for host in hosts.rstrip("/").split(","))
        return cls(servers, _SCHEMES[scheme], unquote(user), unquote(password), **options)

    @property
    def shown(self) -> str:
        """The brokers, without user and password."""
        return ", ".join(self.servers)

    def for_librdkafka(self) -> dict[str, Any]:
        """Return the options of a client of librdkafka's."""
        options: dict[str, Any] = {"bootstrap.servers": ",".join(self.servers)}
        protocol = "SSL" if self.has_tls else "PLAINTEXT"
        options["security.protocol"] = f"SASL_{protocol}" if self.user else protocol
        if self.user:
            options |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.user,
                "sasl.password": self.password,
            }
        for name, value in (("ca", self.ca), ("certificate", self.cert), ("key", self.key)):
            if value:
                options[f"ssl.{name}.location"] = value
        return options

    def make_tls(self) -> ssl.SSLContext | None:
        """Return how connections are encrypted; None: not at all. Raises OSError for unusable files."""
        if not self.has_tls:
            return None
        context = ssl.create_default_context(cafile=self.ca or None)
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context


def _server(text: str) -> str:
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        host, port = port, str(_PORT)
    if not host or not port.isdigit() or not 0 < int(port) <= _LAST_PORT:
        raise ValueError(_FORM)
    return f"{host}:{port}"
