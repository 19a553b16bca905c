"""The colours of pages and figures, by name; the dark ones are for screens that ask for them."""

from collections.abc import Mapping

__all__ = ["DARK", "LIGHT"]

LIGHT: Mapping[str, str] = {
    "ground": "#f6f6f3",
    "surface": "#ffffff",
    "raised": "#fbfbf9",
    "ink": "#1d2126",
    "quiet": "#59616b",
    "line": "#dcded9",
    "edge": "#8b929a",
    "accent": "#0a6570",
    "on-accent": "#ffffff",
    "good": "#1d6a3c",
    "good-wash": "#e6f2ea",
    "bad": "#a12a22",
    "bad-wash": "#f9e9e7",
    "warn": "#7d4a00",
    "warn-wash": "#fbf0da",
    "wash": "#e5eff0",
    # An orange and a blue, which colour-blind eyes can tell apart.
    "before": "#c24e00",
    "after": "#0072b2",
}

DARK: Mapping[str, str] = {
    "ground": "#14171a",
    "surface": "#1c2024",
    "raised": "#22272c",
    "ink": "#e7e9ec",
    "quiet": "#a7afb8",
    "line": "#31373d",
    "edge": "#737c86",
    "accent": "#7ccbd0",
    "on-accent": "#0d2326",
    "good": "#8ad6a4",
    "good-wash": "#1d3426",
    "bad": "#f5a49c",
    "bad-wash": "#3c2422",
    "warn": "#efc372",
    "warn-wash": "#392d18",
    "wash": "#1f3336",
    "before": "#f3a262",
    "after": "#6cbcf0",
}
