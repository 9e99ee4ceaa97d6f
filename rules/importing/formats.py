"""The formats of other systems that rules are carried over from."""

from collections.abc import Callable, Mapping

from rules.importing.carried import Carried
from rules.importing.home_assistant import import_home_assistant
from rules.importing.iot_events import import_iot_events
from rules.importing.prometheus import import_prometheus
from rules.importing.thingsboard import import_thingsboard

FORMATS: Mapping[str, Callable[[str, str], Carried]] = {
    "prometheus": import_prometheus,
    "home-assistant": import_home_assistant,
    "thingsboard": import_thingsboard,
    "iot-events": import_iot_events,
}
"""By name: what carries over the text of a file, given the file's name too."""
