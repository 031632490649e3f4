"""Training stages, the loop, checkpoints and run folders."""
