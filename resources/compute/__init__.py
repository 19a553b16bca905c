"""Compute backends by name."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Protocol

from flywheel.compute.job import ComputeBackend
from flywheel.errors import FlywheelError
from resources.compute.leases import Holder
from resources.compute.settings import Settings
from resources.readiness import Finding

__all__ = ["BACKENDS", "Backend", "backend_named"]


class Backend(ComputeBackend, Holder, Protocol):
    """What a backend is here: it runs jobs, ends what a lease names, and says what it needs."""

    def readiness(self) -> tuple[Finding, ...]:
        """What it needs and whether that is there. Starts nothing, raises nothing, takes seconds at most."""
        ...


BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "local": "resources.compute.local:LocalBackend",
        "docker": "resources.compute.docker:DockerBackend",
        "brev": "resources.compute.brev:BrevBackend",
        "modal": "resources.compute.modal:ModalBackend",
    }
)
"""Where the class of each backend stands. It is imported when it is used: a service's package loads slowly."""


def backend_named(name: str) -> Callable[[Settings], Backend]:
    """What makes the backend `name` from `Settings`; raises `FlywheelError` listing the right names."""
    if name not in BACKENDS:
        allowed = ", ".join(sorted(BACKENDS))
        raise FlywheelError(f"unknown compute backend {name!r}; FLYWHEEL_COMPUTE may be: {allowed}")
    module, _, attribute = BACKENDS[name].partition(":")
    made: Callable[[Settings], Backend] = getattr(import_module(module), attribute).from_settings
    return made
