"""From readings to alarms: the rule book, its expressions, and the processor that decides."""
