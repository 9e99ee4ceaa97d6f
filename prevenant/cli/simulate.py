"""`prevenant simulate`: stand in for devices, on the broker of the settings."""

import math
from pathlib import Path
from typing import Annotated

import typer

from prevenant.book import load_book
from prevenant.cli.shown import out
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings

app = typer.Typer(help="Stand in for devices.", no_args_is_help=True)


def _a_speed(speed: float) -> float:
    if not (math.isfinite(speed) and speed > 0):
        message = f"{speed:g} is no speed: write a number above 0, such as 60"
        raise typer.BadParameter(message)
    return speed


FleetSpeed = Annotated[
    float, typer.Option(help="How many times faster than real time.", callback=_a_speed)
]
RecordSpeed = Annotated[
    float, typer.Option(help="Seconds of the record per real second.", callback=_a_speed)
]


@app.command("devices")
def simulate_devices(
    *,
    speed: FleetSpeed = 1.0,
    seed: Annotated[int, typer.Option(help="Makes another fleet's noise.")] = 1,
) -> None:
    """Publish the demo fleet's telemetry to the broker of the settings, until Ctrl-C."""
    from simulators.fleet import run_fleet  # noqa: PLC0415  production never imports simulators

    run_fleet(load_settings().mqtt_urls[0], speed, seed)


@app.command("engines")
def simulate_engines(
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="NASA's train_FD001.txt.", show_default="looked for in var/cmapss"),
    ] = None,
    unit: Annotated[
        list[int] | None, typer.Option(help="An engine of the record; several times for several.")
    ] = None,
    site: Annotated[str, typer.Option(help="The site that they belong to.")] = "mx",
    flight: Annotated[float, typer.Option(min=0.0, help="Seconds from flight to flight.")] = 1.0,
) -> None:
    """Publish engines of NASA's C-MAPSS record, flight by flight, until they fail or Ctrl-C."""
    from simulators.engine_replay import replay_engines  # noqa: PLC0415  as above

    count = replay_engines(load_settings().mqtt_urls[0], file, unit or [1], site, flight)
    out.print(f"published {count} flights")


@app.command("replay")
def simulate_replay(
    file: Annotated[Path, typer.Argument(help="A CSV file, one reading a row.")],
    *,
    device_type: Annotated[str, typer.Option("--type", help="A device type of the rule book.")],
    device: Annotated[
        str, typer.Option(help="SITE/DEVICE, or a device without a site.")
    ] = "replay/1",
    field: Annotated[
        list[str] | None, typer.Option(help="FIELD=COLUMN, or FIELD=COLUMN:fahrenheit to convert.")
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(help="The column with the time.", show_default="timestamp, if there is one"),
    ] = None,
    speed: RecordSpeed = 60.0,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many rows; 0: never.")] = 0,
) -> None:
    """Publish the rows of a CSV file as telemetry of one device."""
    from simulators.replay import replay_csv  # noqa: PLC0415  as above

    current = load_settings()
    types = load_book(current.book).rules.devices
    if device_type not in types:
        message = f"the rule book has no device type {device_type!r}: it has {', '.join(types)}"
        raise ConfigurationError(message)
    count = replay_csv(
        current.mqtt_urls[0],
        file,
        types[device_type],
        device,
        field or [],
        time_column,
        speed,
        limit,
    )
    out.print(f"published {count} readings of {device}")
