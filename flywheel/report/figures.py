"""What the figures have in common: the theme's colours, and how one becomes a picture or a part of an HTML page."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from flywheel.errors import FlywheelError
from flywheel.report.theme import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = [
    "AFTER",
    "BEFORE",
    "COLOUR_NAMES",
    "DOTS_PER_INCH",
    "FigureError",
    "Mark",
    "as_png",
    "as_svg",
    "figure",
    "inline_svg",
]

DOTS_PER_INCH = 144

COLOUR_NAMES: Mapping[str, str] = {
    LIGHT[name]: f"--{name}" for name in ("ink", "quiet", "line", "edge", "surface", "bad", "before", "after")
}
"""The colours that a figure may have, and the names under which they follow the theme of a page."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How one of two models is drawn. Colour and shape differ, so that either would do."""

    colour: str
    shape: str

    def in_legend(self, label: str, *, filled: bool = True) -> "Line2D":
        """The mark with what it stands for."""
        from matplotlib.lines import Line2D

        return Line2D(
            [],
            [],
            color=self.colour,
            marker=self.shape,
            markerfacecolor=self.colour if filled else LIGHT["surface"],
            markersize=6.5,
            linewidth=2.2,
            label=label,
        )


BEFORE, AFTER = Mark(LIGHT["before"], "o"), Mark(LIGHT["after"], "D")

_NAMESPACES = re.compile(r"^\{[^}]*\}")
_LEFT_OUT = ("metadata", "style")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_FAMILY = re.compile(r"font-family: [^;]*(?:; |$)")
_REFERENCE = re.compile(r"^url\(#(.+)\)$")


class FigureError(FlywheelError):
    """A figure that cannot follow the theme."""


@contextmanager
def figure(width: float, height: float, *, seed_of_ids: str = "") -> Iterator["Figure"]:
    """An empty figure in the theme's colours, to be drawn and written before the context ends.

    Args:
        width, height: in inches.
        seed_of_ids: what the ids in an SVG file are drawn from: two figures on one page need two.
    """
    # Matplotlib takes half a second to import, and most of the graph does not need it. Its figures are used without
    # pyplot, which would keep a global list of them and choose a window system.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": seed_of_ids,
        "font.size": 10.5,
        "text.color": LIGHT["ink"],
        "axes.facecolor": LIGHT["surface"],
        "axes.labelcolor": LIGHT["quiet"],
        "axes.edgecolor": LIGHT["edge"],
        "grid.color": LIGHT["line"],
        "xtick.color": LIGHT["quiet"],
        "ytick.color": LIGHT["ink"],
        "text.parse_math": False,  # a term is a text, whatever signs it has
    }
    with rc_context(settings):
        empty = Figure(figsize=(width, height), layout="constrained", facecolor=LIGHT["surface"])
        FigureCanvasAgg(empty)
        yield empty


def as_png(drawn: "Figure", dots_per_inch: int) -> bytes:
    """The figure as a PNG file; equal figures give equal files."""
    png = io.BytesIO()
    # Matplotlib's version in the file would make the same figure differ between installations.
    drawn.savefig(png, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return png.getvalue()


def as_svg(drawn: "Figure", description: str) -> str:
    """The figure as an `<svg>` element, whose colours are those of the page that it stands on."""
    svg = io.StringIO()
    drawn.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return inline_svg(svg.getvalue(), description)


def inline_svg(svg: str, description: str) -> str:
    """The `<svg>` element of a file that matplotlib wrote with `svg.fonttype` `none`, without its metadata.

    Args:
        svg: the file, with colours of `COLOUR_NAMES` alone, and transparent where nothing is drawn.
        description: the text alternative: a reader is told this and not the single labels.

    Raises:
        FigureError: the drawing has a colour that the theme does not name.
    """
    root = ElementTree.fromstring(svg)
    referred = set(_references(root))
    for element in [*root.iter()]:
        element.tag = _NAMESPACES.sub("", element.tag)
        for child in [child for child in element if _NAMESPACES.sub("", child.tag) in _LEFT_OUT]:
            element.remove(child)
        element.attrib = {_NAMESPACES.sub("", name): value for name, value in element.attrib.items()}
        # Ids that nothing refers to are the same in every drawing, and a page may have each but once.
        if element.get("id") not in referred:
            element.attrib.pop("id", None)
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
    root.attrib = {
        "class": "drawing",
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": description,
    }
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode").strip())


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.endswith("href"):
                yield value.removeprefix("#")
            elif found := _REFERENCE.match(value):
                yield found[1]


def _themed(style: str) -> str:
    # The page's own fonts. What matplotlib measured with is wider than they are, so that nothing runs over.
    return _COLOUR.sub(_name, _FAMILY.sub("", style))


def _name(colour: re.Match[str]) -> str:
    try:
        return f"var({COLOUR_NAMES[colour[0]]})"
    except KeyError:
        allowed = ", ".join(COLOUR_NAMES)
        raise FigureError(f"figure: found the colour {colour[0]}; allowed: {allowed}") from None
