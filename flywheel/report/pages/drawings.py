"""A drawing of matplotlib's as a part of an HTML page: its colours are the theme's, its text is the page's."""

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from flywheel.errors import FlywheelError

__all__ = ["THEME_COLOURS", "DrawingError", "inline_svg"]

THEME_COLOURS: Mapping[str, str] = {
    "#1d2126": "--ink",
    "#59616b": "--quiet",
    "#dcded9": "--line",
    "#8b929a": "--edge",
    "#ffffff": "--surface",
    "#a12a22": "--bad",
    "#c24e00": "--before",
    "#0072b2": "--after",
}
"""The colours that a drawing may have, as the light theme writes them, and the names under which they follow it."""

_NAMESPACES = re.compile(r"^\{[^}]*\}")
_LEFT_OUT = ("metadata", "style")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_FAMILY = re.compile(r"font-family: [^;]*(?:; |$)")
_REFERENCE = re.compile(r"^url\(#(.+)\)$")


class DrawingError(FlywheelError):
    """A drawing that cannot follow the theme."""


def inline_svg(svg: str, description: str) -> str:
    """The `<svg>` element of a file that matplotlib wrote with `svg.fonttype` `none`, without its metadata.

    Args:
        svg: the file, with colours of `THEME_COLOURS` alone, and transparent where nothing is drawn.
        description: the text alternative: a reader is told this and not the single labels.

    Raises:
        DrawingError: the drawing has a colour that the theme does not name.
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
        return f"var({THEME_COLOURS[colour[0]]})"
    except KeyError:
        allowed = ", ".join(THEME_COLOURS)
        raise DrawingError(f"drawing: found the colour {colour[0]}; allowed: {allowed}") from None
