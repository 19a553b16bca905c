"""The page on which pronunciations are heard and judged."""
