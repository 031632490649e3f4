"""The kernels of `kernels/`: compiled, loaded and launched."""
