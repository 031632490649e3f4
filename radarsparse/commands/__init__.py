"""The commands of `radarsparse NAME` and `tools/NAME.py`: arguments, calls, results."""
