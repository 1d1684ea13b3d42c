"""Ours beside the peers, side by side in one run: `python -m benchmarks.speed`; __main__.py says how."""
