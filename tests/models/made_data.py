"""Machines that wear out, made up: engines until failure, refrigerators by the hour, parts alone."""

import numpy as np
import pandas as pd

START = 1_767_225_600.0
"""2026-01-01T00:00:00Z"""


def made_engines(count: int = 12, seed: int = 1) -> pd.DataFrame:
    """Return engines that run to failure: `heat` and `flow` tell, `noise` and `constant` do not."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        life = int(rng.integers(60, 120))
        cycle = np.arange(1, life + 1)
        wear = np.clip((cycle - 0.4 * life) / (0.6 * life), 0, None) ** 2
        frames.append(
            pd.DataFrame(
                {
                    "device": f"e{number:02}",
                    "cycle": cycle,
                    "heat": 500 + rng.normal(0, 2) + 30 * wear + rng.normal(0, 1.5, life),
                    "flow": 40 + rng.normal(0, 0.3) - 4 * wear + rng.normal(0, 0.3, life),
                    "noise": rng.normal(0, 1, life),
                    "constant": 7.0,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def made_fridges(
    count: int = 10, days: int = 40, seed: int = 2
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return refrigerators by the hour, and when compressors failed: the current rises days before."""
    rng = np.random.default_rng(seed)
    frames, failures = [], []
    hours = np.arange(days * 24)
    for number in range(count):
        device = f"home-{number}/fridge"
        amps = 1.5 + rng.normal(0, 0.05) + rng.normal(0, 0.04, len(hours))
        cabinet = 4.5 + 0.4 * np.sin(hours / 24 * 2 * np.pi) + rng.normal(0, 0.3, len(hours))
        if number % 2 == 0:
            failed = int(rng.integers(days * 24 // 2, (days - 2) * 24))
            ahead = np.clip(1 - (failed - hours) / 96, 0, 1) * (hours <= failed)
            amps += 0.6 * ahead
            cabinet += 1.5 * ahead**2
            failures.append((device, START + failed * 3600.0))
        frames.append(
            pd.DataFrame(
                {
                    "device": device,
                    "observed_at": pd.to_datetime(START + hours * 3600.0, unit="s", utc=True),
                    "compressor_amps": amps,
                    "cabinet": cabinet,
                    "door_open": rng.random(len(hours)) < 0.05,
                    "mode": rng.choice(["eco", "boost"], len(hours)),
                }
            )
        )
    failed_at = pd.to_datetime([at for _, at in failures], unit="s", utc=True)
    return (
        pd.concat(frames, ignore_index=True),
        pd.DataFrame({"device": [one for one, _ in failures], "failed_at": failed_at}),
    )


def made_parts(count: int = 1500, seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows on their own, and those that failed: where torque times speed is too much."""
    rng = np.random.default_rng(seed)
    torque, speed = rng.normal(40, 10, count), rng.normal(1500, 180, count)
    failed = (torque * speed > 78_000) | (rng.random(count) < 0.002)
    frame = pd.DataFrame(
        {
            "device": [f"p{number}" for number in range(count)],
            "cycle": 1,
            "torque": torque,
            "speed": speed,
            "grade": rng.choice(["L", "M", "H"], count),
        }
    )
    failures = frame.loc[failed, ["device", "cycle"]].rename(columns={"cycle": "failed_at"})
    return frame, failures.reset_index(drop=True)
