"""Simulated roads, seen by a 4D radar and a LiDAR."""
