"""Aircraft engines that wear out: NASA's C-MAPSS records (FD001) as live telemetry, one reading a flight.

The records are not part of Prevenant. `train_FD001.txt` is in the C-MAPSS Jet Engine Simulated Data of
NASA's Prognostics Data Repository (data.nasa.gov), public domain; put it into `var/cmapss`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from prevenant.errors import ConfigurationError
from simulators.door import Telemetry

FILE = "train_FD001.txt"
PLACES = (
    Path("var/cmapss"),
    Path(__file__).resolve().parents[2] / "shared" / "data" / "cmapss",
)
"""Where the records are looked for."""
SETTINGS = ("setting_1", "setting_2", "setting_3")
SENSORS = tuple(f"s{number}" for number in range(1, 22))
COLUMNS = ("unit", "cycle", *SETTINGS, *SENSORS)

_FLIGHT_S = 15.0
"""In the demo a flight takes so many seconds."""

Flight = Mapping[str, float]
"""What one flight's record says, by column."""


def find_records() -> Path | None:
    """Return the folder with the records, or None where they are not to be had."""
    return next((place for place in PLACES if (place / FILE).is_file()), None)


def missing_records() -> str:
    """Return how to get the records."""
    return (
        f"there is no {FILE}: get NASA's C-MAPSS Jet Engine Simulated Data (data.nasa.gov, public "
        f"domain) and put that file into {PLACES[0]}"
    )


def read_flights(path: Path) -> dict[int, list[Flight]]:
    """Return the flights of each engine, in their order. Raises ConfigurationError."""
    flights: dict[int, list[Flight]] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigurationError(missing_records()) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error}; name NASA's {FILE}"
        raise ConfigurationError(message) from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        try:
            row = dict(zip(COLUMNS, map(float, words), strict=True))
        except ValueError:
            message = (
                f"{path}:{number}: {len(words)} columns, and not the {len(COLUMNS)} numbers of C-MAPSS: "
                f"name NASA's {FILE}"
            )
            raise ConfigurationError(message) from None
        flights.setdefault(int(row["unit"]), []).append(row)
    if not flights:
        message = f"{path} holds no flights: name NASA's {FILE}"
        raise ConfigurationError(message)
    return flights


class Turbofan:
    """Reports once a flight, until the record ends: the engine has failed then."""

    def __init__(
        self,
        site: str,
        name: str,
        flights: Sequence[Flight],
        interval_s: float = _FLIGHT_S,
        begins_s: float = 0.0,
    ) -> None:
        self.device = f"{site}/{name}"
        self.interval_s = interval_s
        self._topic = f"hangars/{site}/engines/{name}"
        self._flights = flights
        self._begins_s = begins_s
        self._next = 0

    @property
    def flown(self) -> int:
        """How many flights were reported."""
        return self._next

    @property
    def left(self) -> int:
        """How many flights are left before the engine fails."""
        return len(self._flights) - self._next

    def step(self, at_s: float, faults: frozenset[str]) -> Iterator[Telemetry]:
        """Yield the report of the next flight; the record has its faults already."""
        del faults
        if at_s >= self._begins_s and self.left:
            flight = self._flights[self._next]
            self._next += 1
            yield self._topic, payload_of(flight)


def payload_of(flight: Flight) -> dict[str, float]:
    """Return what an engine sends of a flight."""
    return {name: flight[name] for name in ("cycle", *SETTINGS, *SENSORS)}


def demo_engines(site: str = "mx", names: Sequence[str] = ("E1", "E2", "E3")) -> list[Turbofan]:
    """Return a small fleet, each engine at another part of its life; none without the records."""
    folder = find_records()
    if folder is None:
        return []
    flights = read_flights(folder / FILE)
    units = sorted(flights, key=lambda unit: len(flights[unit]))[: len(names)]
    return [
        Turbofan(site, name, flights[unit], begins_s=number * 20 * _FLIGHT_S)
        for number, (name, unit) in enumerate(zip(names, units, strict=False))
    ]
