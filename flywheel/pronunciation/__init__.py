"""How terms are pronounced: a person's override, else a dictionary, else the engine's own rules."""
