"""What sensors are called: a field's name and unit as a person would say them, in English and French.

`compressor_amps` in ampere is "compressor current" and « courant du compresseur ». A word that is not
known here stays as the author wrote it.
"""

import re

LANGUAGES = ("en", "fr")

_QUANTITIES = {
    "temperature": ("temperature", "température"),
    "current": ("current", "courant"),
    "voltage": ("voltage", "tension"),
    "power": ("power", "puissance"),
    "energy": ("energy", "énergie"),
    "resistance": ("resistance", "résistance"),
    "frequency": ("frequency", "fréquence"),
    "pressure": ("pressure", "pression"),
    "speed": ("speed", "vitesse"),
    "acceleration": ("acceleration", "accélération"),
    "vibration": ("vibration", "vibration"),
    "mass": ("mass", "masse"),
    "weight": ("weight", "poids"),
    "volume": ("volume", "volume"),
    "flow": ("flow", "débit"),
    "force": ("force", "force"),
    "torque": ("torque", "couple"),
    "light": ("light", "lumière"),
    "sound": ("sound level", "niveau sonore"),
    "noise": ("noise", "bruit"),
    "signal": ("signal", "signal"),
    "angle": ("angle", "angle"),
    "level": ("level", "niveau"),
    "humidity": ("humidity", "humidité"),
    "wear": ("wear", "usure"),
    "load": ("load", "charge"),
    "charge": ("charge", "charge"),
    "position": ("position", "position"),
    "duration": ("duration", "durée"),
    "setpoint": ("setpoint", "consigne"),
    "ratio": ("ratio", "rapport"),
    "health": ("health", "état"),
}
"""What is measured: the word of each language."""

_SHORT = {
    "temp": "temperature",
    "press": "pressure",
    "vib": "vibration",
    "freq": "frequency",
    "volt": "voltage",
    "rotation": "rotational",
    "amp": "amps",
}

_BY_DIMENSION = {
    "temperature": "temperature",
    "current": "current",
    "voltage": "voltage",
    "power": "power",
    "energy": "energy",
    "resistance": "resistance",
    "frequency": "speed",
    "pressure": "pressure",
    "speed": "speed",
    "acceleration": "vibration",
    "mass": "weight",
    "volume": "volume",
    "flow": "flow",
    "force": "force",
    "torque": "torque",
    "light": "light",
    "sound": "sound",
    "signal": "signal",
    "angle": "angle",
}
"""What a field measures, by the dimension of its unit."""

_UNIT_WORDS = {
    "amps": "current",
    "ampere": "current",
    "amperes": "current",
    "volts": "voltage",
    "watts": "power",
    "kw": "power",
    "rpm": "speed",
    "hz": "frequency",
    "bar": "pressure",
    "psi": "pressure",
    "kpa": "pressure",
    "celsius": "temperature",
    "fahrenheit": "temperature",
    "kelvin": "temperature",
    "degc": "temperature",
    "nm": "torque",
    "g": "",
    "c": "temperature",
    "k": "temperature",
    "mm": "",
    "min": "",
    "percent": "",
    "pct": "",
}
"""Units as they stand at the end of names, and what they measure."""

_THINGS = {
    "air": "de l'air",
    "ambient": "ambiante",
    "battery": "de la batterie",
    "bearing": "du palier",
    "blade": "de la pale",
    "brake": "du frein",
    "cabin": "de la cabine",
    "cabinet": "de l'enceinte",
    "case": "du boîtier",
    "compressor": "du compresseur",
    "condenser": "du condenseur",
    "coolant": "du liquide de refroidissement",
    "discharge": "de refoulement",
    "door": "de la porte",
    "drive": "de l'entraînement",
    "engine": "du moteur",
    "evaporator": "de l'évaporateur",
    "exhaust": "d'échappement",
    "fan": "du ventilateur",
    "feed": "d'alimentation",
    "filter": "du filtre",
    "fuel": "de carburant",
    "gearbox": "du réducteur",
    "hydraulic": "hydraulique",
    "inlet": "d'entrée",
    "inverter": "de l'onduleur",
    "motor": "du moteur",
    "oil": "de l'huile",
    "outlet": "de sortie",
    "process": "du procédé",
    "pump": "de la pompe",
    "room": "de la pièce",
    "rotational": "de rotation",
    "rotor": "du rotor",
    "shaft": "de l'arbre",
    "spindle": "de la broche",
    "suction": "d'aspiration",
    "supply": "d'alimentation",
    "tank": "du réservoir",
    "tool": "de l'outil",
    "turbine": "de la turbine",
    "valve": "de la vanne",
    "water": "de l'eau",
    "winding": "de l'enroulement",
}
"""What is measured of: the complement that follows the quantity in French."""

_BRACKETS = re.compile(r"[\[(].*?[\])]")
_ARITHMETIC = re.compile(r"(\*\*|[-+*/%])")
_FIELD = re.compile(r"\b[^\W\d]\w*\b(?!\()")
_WORD = re.compile(r"[A-Z]?[a-zà-ÿ]+|[A-Z]+(?![a-zà-ÿ])|\d+")


def name_sensor(field: str, dimension: str | None, language: str) -> str:
    """Return what a field is called, known by the dimension of its unit where the name says too little."""
    if _ARITHMETIC.search(field):
        return _name_arithmetic(field, language)
    words = [_SHORT.get(word, word) for word in _split(field)]
    quantity = next((word for word in reversed(words) if word in _QUANTITIES), None)
    if quantity is None and len(words) > 1 and words[-1] in _UNIT_WORDS:
        quantity = _UNIT_WORDS[words.pop()] or None
    things = [word for word in words if word != quantity and word not in _UNIT_WORDS]
    if quantity is None and dimension in _BY_DIMENSION and things:
        quantity = _BY_DIMENSION[dimension]
    if not any(len(word) > 2 for word in things) and quantity is None:  # noqa: PLR2004  s11, x
        return field
    if language == "fr":
        return _in_french(field, quantity, things)
    said = _QUANTITIES[quantity][0] if quantity else ""
    return " ".join([*things, said]).strip() if words else field


def _name_arithmetic(text: str, language: str) -> str:
    """Return arithmetic over fields with each of them called by its name."""
    parts = _ARITHMETIC.split(text)
    signs = {"*": "×", "-": "−", "**": "^"}  # noqa: RUF001  the signs that people read
    said = [
        f" {signs.get(part, part)} " if number % 2 else _named_fields(part.strip(), language)
        for number, part in enumerate(parts)
    ]
    return " ".join("".join(said).split())


def _named_fields(part: str, language: str) -> str:
    return _FIELD.sub(lambda found: name_sensor(found[0], None, language), part)


def _in_french(field: str, quantity: str | None, things: list[str]) -> str:
    """Return the quantity with what it is measured of, the nearest first."""
    known = [_THINGS[word] for word in things if word in _THINGS]
    if quantity is None:
        return f"« {' '.join(things)} »" if things else field
    head = _QUANTITIES[quantity][1]
    if len(known) == len(things):
        return " ".join([head, *reversed(known)])
    return f"{head} « {' '.join(things)} »"


def _split(field: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(_BRACKETS.sub(" ", field))]
