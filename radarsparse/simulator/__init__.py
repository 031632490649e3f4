"""Simulated road scenes seen by a 4D radar and a LiDAR."""
