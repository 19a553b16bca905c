"""What holds for every test."""

import os
import signal
from typing import Any

import pytest

from tests.groups import OneWorkerAGroup

# A shell that starts the tests in the background lets them, and all they start, ignore interrupts; some tests
# interrupt what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test uses the accounts or the settings of whoever runs it.
_ACCOUNTS = ("FLYWHEEL_", "HUME_", "DICTIONARY_", "WANDB_", "AWS_", "MODAL_")
for _name in [name for name in os.environ if name.startswith(_ACCOUNTS)]:
    del os.environ[_name]

# Nor does what happens to be installed here change a corpus: a second engine speaks where a test asks for one.
os.environ["FLYWHEEL_SECOND_ENGINE"] = "off"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWorkerAGroup | None:
    """Real tests share engines, ports and folders: each group of them has one worker."""
    return OneWorkerAGroup(config, log) if config.getvalue("dist") == "loadgroup" else None
