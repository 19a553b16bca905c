"""The numbered sections of the Markdown page, one function each."""
