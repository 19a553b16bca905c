"""`python -m flywheel COMMAND`: the same as `flywheel COMMAND`, see `flywheel.cli`."""

from flywheel.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
