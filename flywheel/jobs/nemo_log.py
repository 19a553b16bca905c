"""What NeMo's own logger may print in a job."""

import logging


def only_errors() -> None:
    """Silence NeMo's hints: of each call of `transcribe` they would repeat the same three.

    Set at the handlers, for `transcribe` sets the logger's own level back to WARNING.
    """
    for handler in logging.getLogger("nemo_logger").handlers:
        handler.setLevel(logging.ERROR)
