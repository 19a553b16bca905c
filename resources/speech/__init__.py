"""Who speaks: the embedded engine, and speech services that are paid by the character."""
