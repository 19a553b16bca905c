"""Compute backends by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from flywheel.compute import ComputeBackend
from flywheel.errors import FlywheelError
from resources.compute.local import LocalBackend

__all__ = ["BACKENDS", "LocalBackend", "backend_named"]

BACKENDS: Mapping[str, Callable[..., ComputeBackend]] = MappingProxyType({"local": LocalBackend})
"""The class of each backend. What each needs to be made is in its own docstring."""


def backend_named(name: str) -> Callable[..., ComputeBackend]:
    """The class of the backend `name`; raises `FlywheelError` listing the right names."""
    try:
        return BACKENDS[name]
    except KeyError:
        allowed = ", ".join(sorted(BACKENDS))
        raise FlywheelError(f"unknown compute backend {name!r}; FLYWHEEL_COMPUTE may be: {allowed}") from None
