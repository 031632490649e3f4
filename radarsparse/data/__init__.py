"""Scan pairs, data sets, the simulator, voxels and batches."""
