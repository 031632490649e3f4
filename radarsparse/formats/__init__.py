"""Files of clouds, frames and bags: one reader per format."""
