"""Audio by content: what one cached file sounds like, and how the missing ones are made."""
