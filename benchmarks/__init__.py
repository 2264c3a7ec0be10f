"""Measures Portcast beside the code of the tutorial that it started from: ``python -m benchmarks --help``."""
