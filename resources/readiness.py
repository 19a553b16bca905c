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
        needed: whether a run cannot do without; False for what it mends on the way or can miss.
    """

    what: str
    ok: bool
    detail: str
    needed: bool = True

    @property
    def stops(self) -> bool:
        """Whether a run should not begin before this is mended."""
        return self.needed and not self.ok
