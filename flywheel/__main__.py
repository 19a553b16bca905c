"""`python -m flywheel COMMAND`: see `flywheel.cli`."""

import gc
import io
import sys

from flywheel.cli import main

if __name__ == "__main__":
    # A command makes millions of small objects, keeps them all and ends: looking for garbage among them takes a
    # third of its time and finds none.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character of somebody's file is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    raise SystemExit(main())
