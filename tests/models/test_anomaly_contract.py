"""Every way to make a detector keeps every promise of a detector."""

import pytest

from models.anomaly import Detector
from tests.models.anomaly_checks import CHECKS, Check, Make, make_readings

DETECTORS: dict[str, tuple[list[str], Make]] = {
    "one field": (["t"], lambda: Detector(["t"])),
    "one field without a calendar": (["t"], lambda: Detector(["t"], calendar=False)),
    "three fields": (["a", "b", "c"], lambda: Detector(["a", "b", "c"])),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", DETECTORS)
def test_detector(name: str, check: Check) -> None:
    fields, make = DETECTORS[name]
    check(make, make_readings(fields))
