"""Rules of other systems, carried over into a rule book."""
