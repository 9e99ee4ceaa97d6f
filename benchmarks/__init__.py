"""Benchmarks: `make bench BENCH=name` runs `benchmarks/name.py`."""
