"""The errors a user can cause, and can mend from the message alone."""

from collections.abc import Sequence


class FlywheelError(ValueError):
    """Something outside the code is wrong: a file, a setting, a machine.

    The message names what was found, what is allowed and what to do; entry points print it without a
    traceback and exit with a status that is not 0.
    """


class Problems(FlywheelError):
    """Every problem of one file or one set of rows, in one report.

    Args:
        subject: what was read, e.g. ``"seed.csv"``.
        problems: one line each, in file order; never empty.
    """

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n  ".join([f"{subject}: {count}", *self.problems]))
