"""What devices lived through, faster and slower: few lives show few of the paces at which devices wear.

A model that has seen ten engines fail after 130 to 200 flights takes each one that flies 300 to be near
its end, since nothing like it was there. Wear at another pace looks the same but for its pace, so that it
is learned from as well: the same readings, further apart or closer together.
"""

from models.base import History

FACTORS = (2**-0.5, 2**0.5)
"""So that the fastest is twice as fast as the slowest, with what was seen in the middle."""
FEW_LIVES = 40
"""Where as many were seen, they show their paces themselves."""


def stretch(history: History, factor: float) -> History:
    """Return the same with each device's life `factor` times as long, counted from its first reading."""
    rows, failures = history.rows, history.failures
    firsts = rows.groupby("device", sort=False)["at"].first()
    begins = rows["device"].map(firsts)
    # A device without readings is left as it is.
    began = failures["device"].map(firsts).fillna(failures["failed_at"])
    return History(
        rows.assign(at=begins + (rows["at"] - begins) * factor),
        failures.assign(failed_at=began + (failures["failed_at"] - began) * factor),
        history.unit,
    )
