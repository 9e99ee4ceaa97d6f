"""How often somebody may ask: an account or a token, a try to sign in, what comes with nothing good."""

from datetime import datetime, timedelta

from fastapi import HTTPException, Request, status

from prevenant.access.digests import network_of
from prevenant.access.rates import Guard, Rates, whole_seconds
from prevenant.access.roles import Actor
from prevenant.limits import Limit

_SIGN_IN_LIMITS = (
    Limit(10, timedelta(minutes=10)),
    Limit(30, timedelta(minutes=10)),
    Limit(100, timedelta(hours=1)),
)
"""Failed tries of a name from one network; of a network; and of a name from anywhere, so that nobody is
kept out by one who tries their name from elsewhere."""
_STRANGERS = Limit(600, timedelta(minutes=1))
"""What comes from one network with a token or a cookie that opens nothing."""


class Rating:
    """The limits of one process."""

    def __init__(self, asks: Limit | None) -> None:
        self._asks = Rates(asks) if asks else None
        self._strangers = Rates(_STRANGERS)
        self._tries = Guard([Rates(limit) for limit in _SIGN_IN_LIMITS])

    def check_stranger(self, request: Request) -> None:
        """Refuse to look a token up for whoever has sent too many that open nothing."""
        _refuse(self._strangers.wait_s(_network(request), _now(request)))

    def note_stranger(self, request: Request) -> None:
        """Note that a token or a cookie opens nothing."""
        self._strangers.take(_network(request), _now(request))

    def check_actor(self, request: Request, actor: Actor) -> None:
        """Count a request of an account's browser or of a token; refuse it where there are too many."""
        if self._asks is not None:
            _refuse(self._asks.take(actor.sign_in or actor.key, _now(request)))

    def try_sign_in(self, request: Request, name: str) -> float:
        """Count a try to sign in; return how long to wait where there were too many that failed."""
        return self._tries.take(_keys(request, name), _now(request))

    def forgive_sign_in(self, request: Request, name: str) -> None:
        """Forget a try that was none: it has succeeded."""
        self._tries.give_back(_keys(request, name), _now(request))


def _keys(request: Request, name: str) -> tuple[str, str, str]:
    network = _network(request)
    return f"{name} {network}", network, name


def _refuse(wait_s: float) -> None:
    if wait_s:
        seconds = whole_seconds(wait_s)
        raise HTTPException(
            status.HTTP_429_TOO_MANY_REQUESTS,
            f"too many requests: try again in {seconds} s",
            {"Retry-After": seconds},
        )


def _network(request: Request) -> str:
    return network_of(request.client.host if request.client else "")


def _now(request: Request) -> float:
    at: datetime = request.app.state.clock.now()
    return at.timestamp()
