"""The hosts of the processor."""
