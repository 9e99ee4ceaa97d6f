"""Made-up machines that wear out, for tests: some sensors drift with wear, some say nothing of it."""

import numpy as np
import pandas as pd

from models.base import History
from prevenant.target import CYCLES, SECONDS


def wearing_machines(count: int = 12, seed: int = 3, *, regimes: bool = False) -> History:
    """Return `count` machines from their first cycle to their failure, in cycles."""
    random = np.random.default_rng(seed)
    parts, failures = [], []
    for number in range(count):
        life = int(random.integers(60, 120))
        age = np.arange(1.0, life + 1)
        wear = np.exp(4.0 * (age - life) / life)
        regime = random.integers(0, 3, life) if regimes else np.zeros(life)
        parts.append(
            pd.DataFrame(
                {
                    "device": f"m{number:02}",
                    "at": age,
                    "load": regime * 10.0,
                    "heat": 60 + 8 * wear + 100 * regime + random.normal(0, 0.8, life),
                    "current": 5 - 2 * wear + 30 * regime + random.normal(0, 0.2, life),
                    "noise": random.normal(0, 1, life),
                    "fixed": 7.0,
                }
            )
        )
        failures.append((f"m{number:02}", float(life)))
    rows = pd.concat(parts, ignore_index=True)
    return History(rows, pd.DataFrame(failures, columns=["device", "failed_at"]), CYCLES)


def repaired_machine(failures: int = 6, seed: int = 5) -> History:
    """Return one machine, read each ten minutes, that fails and is repaired again and again."""
    random = np.random.default_rng(seed)
    step, cycle = 600.0, 300
    at = np.arange(failures * cycle) * step
    phase = np.arange(len(at)) % cycle
    heat = 40 + 12.0 * np.clip(phase - (cycle - 30), 0, None) / 30 + random.normal(0, 1, len(at))
    is_on = (phase % 2).astype(float)
    rows = pd.DataFrame({"device": "press", "at": at, "heat": heat, "is_on": is_on})
    ends = at[phase == cycle - 1] + step / 2
    return History(rows, pd.DataFrame({"device": "press", "failed_at": ends}), SECONDS)
