"""Data sets in their own layouts, and the frames that are prepared from them."""
