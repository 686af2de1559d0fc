"""Measurements: what a lesson cites stands in `NN_name.py`. Run as `python -m benchmarks.08_fast_sampling`."""
