"""How often something may be done by one and the same, in memory that does not grow with who tries."""

import hashlib
import math
import secrets
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prevenant.limits import Limit

_SLOTS = 16_384
"""Two that fall into the same one share what they may; nobody gains by filling them."""


class Rates:
    """Buckets that fill up steadily, of which each act takes a drop."""

    def __init__(self, limit: Limit, slots: int = _SLOTS) -> None:
        self._most = float(limit.count)
        self._per_second = limit.count / limit.window.total_seconds()
        self._slots = slots
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._drops: dict[int, tuple[float, float]] = {}
        """What was left, and when that was."""

    def wait_s(self, key: str, now: float) -> float:
        """Return how long to wait before the next; 0 is not at all. Nothing is taken."""
        with self._lock:
            return self._wait(self._left(self._slot(key), now))

    def take(self, key: str, now: float) -> float:
        """Take one where there is one, and return 0; else return how long to wait."""
        slot = self._slot(key)
        with self._lock:
            left = self._left(slot, now)
            if left < 1:
                return self._wait(left)
            self._drops[slot] = left - 1, now
            return 0.0

    def give_back(self, key: str, now: float) -> None:
        """Give one back that was taken in vain."""
        slot = self._slot(key)
        with self._lock:
            left = self._left(slot, now) + 1
            if left >= self._most:
                self._drops.pop(slot, None)
            else:
                self._drops[slot] = left, now

    def _left(self, slot: int, now: float) -> float:
        left, at = self._drops.get(slot, (self._most, now))
        return min(self._most, left + max(0.0, now - at) * self._per_second)

    def _wait(self, left: float) -> float:
        return 0.0 if left >= 1 else (1 - left) / self._per_second

    def _slot(self, key: str) -> int:
        digest = hashlib.blake2b(key.encode(errors="replace"), key=self._secret, digest_size=8)
        return int.from_bytes(digest.digest()) % self._slots


@dataclass(frozen=True, slots=True)
class Guard:
    """Several limits at once, each on a key of its own."""

    rates: Sequence[Rates]

    def take(self, keys: Iterable[str], now: float) -> float:
        """Take one of each where each has one, and return 0; else return how long to wait."""
        taken: list[tuple[Rates, str]] = []
        for rates, key in zip(self.rates, keys, strict=True):
            wait = rates.take(key, now)
            if wait:
                self._give_back(taken, now)
                return wait
            taken.append((rates, key))
        return 0.0

    def give_back(self, keys: Iterable[str], now: float) -> None:
        """Give one of each back."""
        self._give_back(list(zip(self.rates, keys, strict=True)), now)

    @staticmethod
    def _give_back(taken: Iterable[tuple[Rates, str]], now: float) -> None:
        for rates, key in taken:
            rates.give_back(key, now)


def whole_seconds(wait_s: float) -> str:
    """Return a time to wait as `Retry-After` has it."""
    return str(max(1, math.ceil(wait_s)))
