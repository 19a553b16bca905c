"""Which rows are learned from and which are only measured on, and the leaks that are looked for."""
