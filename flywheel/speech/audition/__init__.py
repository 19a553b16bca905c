"""The audition: one clip a term on a page without a server, what people say of them, and whether that suffices."""
