"""An OpenID provider, which vouches for people: the authorization code flow with PKCE, state and nonce.

What it signs is believed for its issuer, for us, for the time it names and for the sign-in that we began,
and by a key that it publishes; a signature that needs a shared secret, or none, is not.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urlencode

import requests
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from prevenant.errors import NotVouched
from prevenant.settings import Settings

PATH_BACK = "/login/openid/return"
_METADATA = "/.well-known/openid-configuration"
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "Ed25519")
_TIMEOUT_S = 5.0
_LARGEST = 1_000_000
_LEEWAY_S = 60
_KNOWN_FOR = timedelta(hours=1)
_ASKED_AGAIN_AFTER = timedelta(minutes=1)
"""A key that is not known is asked for no more often: whoever makes one up gains nothing."""
_SECRET_BYTES = 32
_PARTS = 4


@dataclass(frozen=True, slots=True)
class Client:
    """What we are at a provider."""

    issuer: str
    client_id: str
    client_secret: str
    back_url: str
    """Where a browser comes back to."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that has begun: what our browser alone knows of it."""

    state: str
    nonce: str
    verifier: str
    to: str

    @classmethod
    def begin(cls, to: str) -> "Attempt":
        """Return a new one, which goes on to a page of ours."""
        state, nonce, verifier = (secrets.token_urlsafe(_SECRET_BYTES) for _ in range(3))
        return cls(state, nonce, verifier, to)

    @classmethod
    def read(cls, cookie: str) -> "Attempt | None":
        """Return the one that a cookie holds, or None."""
        try:
            parts = base64.urlsafe_b64decode(cookie.encode()).decode().split(" ")
        except ValueError:
            return None
        if len(parts) != _PARTS:
            return None
        state, nonce, verifier, to = parts
        return cls(state, nonce, verifier, unquote(to))

    def write(self) -> str:
        """Return what a cookie holds of it."""
        parts = (self.state, self.nonce, self.verifier, quote(self.to))
        return base64.urlsafe_b64encode(" ".join(parts).encode()).decode()

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier beforehand (S256)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the provider has vouched for."""

    issuer: str
    subject: str
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Known:
    at: datetime
    value: Any


class Provider:
    """Asks a provider, and judges what it says; what it publishes is kept for a while."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._metadata: _Known | None = None
        self._keys: _Known | None = None

    def address_for(self, attempt: Attempt, now: datetime) -> str:
        """Return where a browser has to go to be vouched for. Raises NotVouched."""
        asked = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.back_url,
            "scope": "openid profile email",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        address = self._find_metadata(now)["authorization_endpoint"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    def redeem(
        self, attempt: Attempt, state: str, code: str, issuer: str, now: datetime
    ) -> Vouched:
        """Return for whom the provider vouches to a browser that came back. Raises NotVouched."""
        if not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise NotVouched("this sign-in was not begun in this browser: begin again")
        if issuer and issuer != self.client.issuer:
            raise NotVouched("another provider has answered: begin again")
        if not code:
            raise NotVouched("the provider did not let you in")
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.back_url,
            "code_verifier": attempt.verifier,
        }
        secret = self.client.client_secret
        credentials = None
        if secret:
            credentials = (quote(self.client.client_id, safe=""), quote(secret, safe=""))
        else:
            fields["client_id"] = self.client.client_id
        address = self._find_metadata(now)["token_endpoint"]
        answer = _ask("POST", address, data=fields, auth=credentials)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotVouched("the provider says nothing of who it is: let our client have `openid`")
        claims = self._judge(token, attempt.nonce, now)
        return Vouched(self.client.issuer, claims["sub"], claims)

    def _judge(self, token: str, nonce: str, now: datetime) -> dict[str, Any]:
        """Return what a token says, if it is to be believed. Raises NotVouched."""
        try:
            read = self._decode(token, now)
            registry = jwt.JWTClaimsRegistry(
                now=round(now.timestamp()),
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self.client.issuer},
                aud={"essential": True, "value": self.client.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(read.claims)
        except (JoseError, ValueError, TypeError) as error:
            message = f"what the provider says cannot be believed: {error}"
            raise NotVouched(message) from None
        claims: dict[str, Any] = read.claims
        # Of several for whom it is meant, one asked for it, and that has to be us.
        others = claims["aud"] != self.client.client_id and len(claims["aud"]) > 1
        party = claims.get("azp", None if others else self.client.client_id)
        if party != self.client.client_id or not isinstance(claims["sub"], str):
            raise NotVouched("what the provider says was asked for by somebody else")
        return claims

    def _decode(self, token: str, now: datetime) -> jwt.Token:
        keys, is_fresh = self._find_keys(now, timedelta())
        try:
            return jwt.decode(token, keys, algorithms=list(_ALGORITHMS))
        except (JoseError, ValueError):
            if is_fresh:
                raise
        # Providers change their keys, and publish the new ones before they use them.
        keys, _ = self._find_keys(now, _ASKED_AGAIN_AFTER)
        return jwt.decode(token, keys, algorithms=list(_ALGORITHMS))

    def _find_metadata(self, now: datetime) -> dict[str, str]:
        with self._lock:
            if self._metadata is None or now - self._metadata.at > _KNOWN_FOR:
                found = _ask("GET", self.client.issuer.rstrip("/") + _METADATA)
                if found.get("issuer") != self.client.issuer:
                    message = (
                        "the provider calls itself otherwise: set PREVENANT_OPENID_ISSUER "
                        f"to {found.get('issuer')!r}"
                    )
                    raise NotVouched(message)
                needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
                if not all(isinstance(found.get(one), str) for one in needed):
                    raise NotVouched("the provider does not say where to ask it")
                self._metadata = _Known(now, found)
            metadata: dict[str, str] = self._metadata.value
            return metadata

    def _find_keys(self, now: datetime, older: timedelta) -> tuple[KeySet, bool]:
        """Return the provider's keys, anew where they are `older`, and whether they were asked for now."""
        address = self._find_metadata(now)["jwks_uri"]
        with self._lock:
            limit = older or _KNOWN_FOR
            is_old = self._keys is None or now - self._keys.at > limit
            if is_old:
                published: Any = _ask("GET", address)
                try:
                    self._keys = _Known(now, KeySet.import_key_set(published))
                except (JoseError, ValueError, KeyError, TypeError):
                    raise NotVouched("the provider's keys cannot be read") from None
            assert self._keys is not None  # noqa: S101  for the reader of the types
            return self._keys.value, is_old


def make_provider(settings: Settings) -> Provider | None:
    """Return the provider that the settings name, or None."""
    if not settings.openid_issuer:
        return None
    client = Client(
        settings.openid_issuer,
        settings.openid_client_id,
        settings.openid_client_secret.get_secret_value(),
        f"{settings.public_url}{PATH_BACK}",
    )
    return Provider(client)


def _ask(method: str, address: str, **options: Any) -> dict[str, Any]:
    """Ask a provider for a JSON object. Raises NotVouched."""
    try:
        with requests.request(
            method,
            address,
            headers={"Accept": "application/json"},
            timeout=_TIMEOUT_S,
            allow_redirects=False,
            stream=True,
            **options,
        ) as answer:
            body = answer.raw.read(_LARGEST, decode_content=True)
            if answer.status_code != requests.codes.ok:
                message = f"the OpenID provider refuses ({answer.status_code}): ask who runs it"
                raise NotVouched(message)
            found = json.loads(body)
    except (requests.RequestException, ValueError, OSError):
        raise NotVouched("the OpenID provider does not answer: try again later") from None
    if not isinstance(found, dict):
        raise NotVouched("the OpenID provider answers something else than is asked for")
    return found
