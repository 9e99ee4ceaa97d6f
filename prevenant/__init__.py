"""Prevenant: proactive service, from a device's telemetry to a customer who was told first."""

import sys
from pathlib import Path

__version__ = "0.1.0"

_APP = Path(__file__).parent / "_app"
if _APP.is_dir():
    # An installed wheel keeps ingest, rules, workflows, notify, models and simulators here, so that
    # an unrelated distribution of one of these names can neither overwrite ours nor come before it.
    sys.path.insert(0, str(_APP))
