"""Noise levels, preconditioning and samplers on plain tensors."""
