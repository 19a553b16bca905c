"""Files on disk: whole-or-nothing writes, CSV tables, Markdown, locks, the paths of a cycle, bundled files."""
