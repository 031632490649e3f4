"""Measurements against what radarsparse replaces and against its peers."""
