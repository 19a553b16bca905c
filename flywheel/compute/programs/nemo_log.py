"""What NeMo's own logger may print in a job."""

import logging


def only_errors() -> None:
    """Silence NeMo's hints: each call of `transcribe` would repeat the same three.

    By a filter, for `transcribe` sets the levels of the logger and of its handlers back to WARNING.
    """
    logging.getLogger("nemo_logger").addFilter(lambda record: record.levelno >= logging.ERROR)
