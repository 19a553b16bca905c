"""Pages from Jinja2 templates. Whatever text comes into a template is escaped there, without anybody's doing."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.report.theme import DARK, LIGHT
from flywheel.scoring import numbers_as_text

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_template"]

_FOLDER = Path(__file__).parent


def render_template(name: str, **values: object) -> str:
    """The page that a template makes of `values`, ending in a line feed.

    Args:
        name: of the template's file, relative to this folder, such as `leaderboard/page.html.j2`.
        values: what the template calls by these names; it raises where it needs one that is not there.
    """
    return _environment().get_template(name).render(values)


@cache
def _environment() -> "Environment":
    # Only a page needs Jinja2, and loading the graph does not make one.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        extensions=["jinja2.ext.do"],
        keep_trailing_newline=True,
        loader=FileSystemLoader(_FOLDER),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        **{name: getattr(numbers_as_text, name) for name in numbers_as_text.__all__},
        "csp_hash": _csp_hash,
    }
    environment.globals |= {"dark": DARK, "light": LIGHT, "source": _source}
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment


def _source(name: str) -> str:
    """A style sheet or a script of ours as it is."""
    return (_FOLDER / name).read_text(encoding="utf-8").rstrip()


def _csp_hash(script: str) -> str:
    """What a content security policy calls a script by: `sha256-...`."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
