"""Mutated inputs against the command line: whatever a file holds, the outcome is success or an error that names it."""
