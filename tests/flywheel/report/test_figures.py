"""Drawings as parts of a page: they follow its theme, and keep to it."""

import pytest

from flywheel.report.figures import COLOUR_NAMES, FigureError, inline_svg

FILE = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" width="9pt" viewBox="0 0 9 8">
 <metadata><date>2024-01-01</date></metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <g id="figure_1">
  <path id="m7" d="M 0 0" style="fill: #c24e00; stroke: #0072b2"/>
  <use xlink:href="#m7" x="1"/>
  <text style="font-size: 10.5px; font-family: 'DejaVu Sans', sans-serif; fill: #1d2126">a &lt;b&gt; #123456</text>
 </g>
</svg>
"""


def test_a_drawing_takes_the_colours_and_the_fonts_of_its_page() -> None:
    assert inline_svg(FILE, 'all of "it"') == (
        '<svg class="drawing" viewBox="0 0 9 8" role="img" aria-label="all of &quot;it&quot;"><defs /><g>'
        '<path id="m7" d="M 0 0" style="fill: var(--before); stroke: var(--after)" /><use href="#m7" x="1" />'
        '<text style="font-size: 10.5px; fill: var(--ink)">a &lt;b&gt; #123456</text>'
        "</g></svg>"
    )


def test_a_colour_without_a_name_is_refused() -> None:
    with pytest.raises(FigureError, match=f"found the colour #abcdef; allowed: {', '.join(COLOUR_NAMES)}"):
        inline_svg(FILE.replace("#c24e00", "#abcdef"), "")
