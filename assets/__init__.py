"""The Dagster graph: what depends on what, when it runs, what the UI shows. Thin: the work is in `flywheel`."""

from assets.antlr import read_new_tables

read_new_tables()
