"""What a service or backend needs, and whether it is there."""

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is needed.

    Args:
        what: e.g. ``command``, ``login``, ``driver``, ``image``, ``disk``.
        ok: whether it is there.
        detail: what was found, or what is missing and what to do.
    """

    what: str
    ok: bool
    detail: str
