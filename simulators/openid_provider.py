"""A little OpenID provider on 127.0.0.1: discovery, authorization with PKCE, tokens, keys.

Whoever is sent to it is taken for the person that stands at the door. It can be told to lie.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from prevenant.clock import Clock

_LASTS_S = 300
_KEY_BITS = 2048


@dataclass
class OpenIdProvider:
    """A provider that knows one client."""

    clock: Clock
    client_id: str = "prevenant"
    client_secret: str = "provider-secret"  # noqa: S105  made up
    """Empty: of a public client, which has none."""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "1", "name": "Camille Roux"})
    """Who stands at the door, as claims."""
    lies: dict[str, Any] = field(default_factory=dict)
    """Claims that are told instead of the true ones; None leaves one out."""
    signs: str = "RS256"
    """By which algorithm; `none` and `HS256`, with our published key as the secret, are forgeries."""
    knows_person: bool = True
    """Whether whoever stands at the door is let in."""
    redeemed: int = 0

    def __post_init__(self) -> None:
        self._codes: dict[str, dict[str, str]] = {}
        self.change_key()
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def issuer(self) -> str:
        """What it calls itself."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> "OpenIdProvider":
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()

    def change_key(self, *, publish: bool = True) -> None:
        """Sign with a new key from now on, which perhaps nobody is told of."""
        self._key = RSAKey.generate_key(_KEY_BITS, {"kid": secrets.token_hex(4), "use": "sig"})
        if publish:
            self._published = [self._key.as_dict(private=False)]

    def describe(self) -> dict[str, Any]:
        """Return what is published of it."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def publish_keys(self) -> dict[str, Any]:
        """Return its public keys."""
        return {"keys": self._published}

    def let_in(self, asked: dict[str, str]) -> str:
        """Return where a browser goes back to."""
        back = {"state": asked.get("state", ""), "iss": self.issuer}
        is_right = (
            asked.get("client_id") == self.client_id
            and asked.get("response_type") == "code"
            and asked.get("code_challenge_method") == "S256"
        )
        if not (self.knows_person and is_right):
            return f"{asked['redirect_uri']}?{urlencode({**back, 'error': 'access_denied'})}"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({**back, 'code': code})}"

    def redeem(self, fields: dict[str, str], credentials: str) -> dict[str, Any] | None:
        """Return the tokens for a code, once, to whoever has its verifier and our secret."""
        asked = self._codes.pop(fields.get("code", ""), None)
        wanted = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        is_ours = credentials == f"Basic {wanted}"
        if not self.client_secret:
            is_ours = fields.get("client_id") == self.client_id
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or not is_ours
            or challenge != asked["code_challenge"]
            or fields.get("redirect_uri") != asked["redirect_uri"]
        ):
            return None
        self.redeemed += 1
        return {
            "access_token": secrets.token_urlsafe(16),
            "token_type": "Bearer",
            "id_token": self._sign(asked["nonce"]),
        }

    def _sign(self, nonce: str) -> str:
        now = round(self.clock.now().timestamp())
        true = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + _LASTS_S,
            "nonce": nonce,
            **self.person,
        }
        claims = {n: v for n, v in {**true, **self.lies}.items() if v is not None}
        if self.signs == "none":
            parts = ({"alg": "none"}, claims)
            return ".".join([*(_encode(json.dumps(one).encode()) for one in parts), ""])
        header = {"alg": self.signs, "kid": str(self._key.kid)}
        if self.signs == "HS256":
            # With the public key for a secret, as anybody could: no library signs so by itself.
            said = ".".join(_encode(json.dumps(one).encode()) for one in (header, claims))
            public = self._key.as_pem(private=False)
            return f"{said}.{_encode(hmac.digest(public, said.encode(), 'sha256'))}"
        return jwt.encode(header, claims, self._key, algorithms=[self.signs])


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class _Handler(BaseHTTPRequestHandler):
    provider: OpenIdProvider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            self.send_response(302)
            self.send_header("Location", self.provider.let_in(asked))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "/.well-known/openid-configuration": self.provider.describe,
            "/keys": self.provider.publish_keys,
        }
        answer = answers.get(parts.path)
        self._give(answer() if answer else None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        fields = {name: values[-1] for name, values in parse_qs(body).items()}
        self._give(self.provider.redeem(fields, self.headers.get("Authorization", "")))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's own name
        """Stay silent."""

    def _give(self, answer: dict[str, Any] | None) -> None:
        data = json.dumps(answer or {"error": "invalid_grant"}).encode()
        self.send_response(200 if answer else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
