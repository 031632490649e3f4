"""Data sets in their own layouts, a file each."""
