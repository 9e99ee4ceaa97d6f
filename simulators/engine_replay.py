"""`prevenant simulate engines`: engines of NASA's record on the broker, flight by flight."""

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prevenant.errors import ConfigurationError
from simulators.fleet import connect, take_leave
from simulators.turbofan import FILE, Turbofan, find_records, missing_records, read_flights

_LAST_WORDS_S = 10.0


def replay_engines(
    url: str, file: Path | None, units: Sequence[int], site: str, flight_s: float
) -> int:
    """Publish the flights of engines, side by side, until the last has failed; return how many.

    Raises ConfigurationError before anything is published.
    """
    engines = _find_engines(file, units, site, flight_s)
    client = connect(url)
    waiting = threading.Event()
    count, published = 0, None
    try:
        while any(engine.left for engine in engines):
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            said = [one for engine in engines for one in engine.step(0.0, frozenset())]
            for topic, payload in said:
                words = json.dumps({"observed_at": at, **payload})
                published = client.publish(topic, words, qos=1)
            count += len(said)
            if flight_s and any(engine.left for engine in engines):
                waiting.wait(flight_s)
        if published is not None:
            published.wait_for_publish(_LAST_WORDS_S)
    except KeyboardInterrupt:
        pass
    finally:
        take_leave(client)
    return count


def _find_engines(
    file: Path | None, units: Sequence[int], site: str, flight_s: float
) -> list[Turbofan]:
    if file is None:
        folder = find_records()
        if folder is None:
            raise ConfigurationError(missing_records())
        file = folder / FILE
    elif not file.is_file():
        message = f"there is no file {file}: name NASA's {FILE}"
        raise ConfigurationError(message)
    flights = read_flights(file)
    for unit in units:
        if unit not in flights:
            message = f"{file} has no engine {unit}: it has 1 to {max(flights)}"
            raise ConfigurationError(message)
    return [Turbofan(site, f"E{unit}", flights[unit], flight_s) for unit in units]
