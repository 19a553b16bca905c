"""Debian's Chromium for tests that look at a page as a person does."""

import os
import shutil
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from loopback import apt

_PROGRAM = "/usr/bin/chromium"


def why_not() -> str | None:
    """Why there is no Chromium here and none can be installed; None where there is one or can be."""
    if shutil.which(_PROGRAM) is not None:
        return None
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"there is no {_PROGRAM}, and only root on Debian can install it"
    return None


def install() -> None:
    """Install Debian's `chromium` unless it is there."""
    if shutil.which(_PROGRAM) is not None:
        return
    apt.install("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; the test is skipped, with the reason, where there can be none."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    install()
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=_PROGRAM, args=arguments)
        yield started
        started.close()
