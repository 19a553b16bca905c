"""What all pages keep to: texts stay texts, nothing a template needs is missing, every file is in the package."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from flywheel.report.audition.page import AuditionPage, render_page
from flywheel.report.templates import render_template
from flywheel.report.theme import DARK, LIGHT

REPOSITORY = Path(__file__).parents[3]
REPORT = REPOSITORY / "flywheel" / "report"
TEMPLATES = sorted(REPORT.rglob("*.j2"))


def an_audition() -> str:
    return render_page(
        AuditionPage(
            cycle="<b>1</b> & more",
            engine="<b>espeak</b>",
            voice="a & b",
            policy="warn",
            heard=(),
            judgements=(),
            faults={},
            reported={},
            categories={},
            verdicts=(),
            verdicts_path=Path("/<b>"),
        )
    )


def test_what_comes_into_a_template_is_text() -> None:
    html = an_audition()
    assert "<b>" not in html
    assert "Audition of &lt;b&gt;1&lt;/b&gt; &amp; more" in html


def test_nothing_but_our_own_files_and_figures_is_taken_as_markup() -> None:
    trusted = {
        found for each in TEMPLATES for found in re.findall(r"\{\{ ([^{}]+?)\|safe", each.read_text("utf-8"))
    }
    assert trusted == {"source(style)", 'source("audition/page.js")', "script", "figure.svg"}
    assert not [each for each in TEMPLATES if "autoescape" in each.read_text("utf-8")]


def test_a_value_that_is_missing_is_no_empty_place() -> None:
    with pytest.raises(UndefinedError, match="'page' is undefined"):
        render_template("audition/page.html.j2")


def test_both_themes_name_the_same_colours_and_pages_use_no_others() -> None:
    assert LIGHT.keys() == DARK.keys()
    html = an_audition()
    assert all(f"--{name}: {LIGHT[name]};" in html and f"--{name}: {DARK[name]};" in html for name in LIGHT)
    styles = "".join(each.read_text("utf-8") for each in [*REPORT.rglob("*.css"), REPORT / "theme.css.j2"])
    assert set(re.findall(r"var\(--([\w-]+)\)", styles)) <= {*LIGHT, "side"}


def test_what_a_page_is_made_of_is_in_the_package() -> None:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]
    files = [each for each in REPORT.rglob("*") if each.suffix in (".j2", ".css", ".js")]
    assert len(files) > len(TEMPLATES) > 5
    left_out = [
        each
        for each in files
        if not any(
            fnmatch.fnmatch(each.name, pattern)
            for pattern in patterns.get(".".join(each.parent.relative_to(REPOSITORY).parts), [])
        )
    ]
    assert left_out == []
