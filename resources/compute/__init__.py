"""Compute backends by name."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

from flywheel.compute import ComputeBackend
from flywheel.errors import FlywheelError
from resources.compute.settings import Settings

__all__ = ["BACKENDS", "backend_named"]

BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "local": "resources.compute.local:LocalBackend",
        "docker": "resources.compute.docker:DockerBackend",
        "brev": "resources.compute.brev:BrevBackend",
        "modal": "resources.compute.modal:ModalBackend",
    }
)
"""Where the class of each backend stands. It is imported when it is used: a service's package loads slowly."""


def backend_named(name: str) -> Callable[[Settings], ComputeBackend]:
    """What makes the backend `name` from `Settings`; raises `FlywheelError` listing the right names."""
    if name not in BACKENDS:
        allowed = ", ".join(sorted(BACKENDS))
        raise FlywheelError(f"unknown compute backend {name!r}; FLYWHEEL_COMPUTE may be: {allowed}")
    module, _, attribute = BACKENDS[name].partition(":")
    made: Callable[[Settings], ComputeBackend] = getattr(import_module(module), attribute).from_settings
    return made
