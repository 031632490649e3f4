"""Losses on sparse tensors; each is a mean per sample, then over the batch."""
