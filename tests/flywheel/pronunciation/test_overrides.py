"""The overrides: what the file may hold, what a later line does to an earlier one, and adding to it."""

import multiprocessing
from pathlib import Path

import pytest

from flywheel.pronunciation.overrides import Override, OverridesError, append_override, read_overrides

HEADER = "term,ipa,verified_by,verified_at,notes\n"
CEFAZOLIN = Override("cefazolin", "sɛˈfæzəlɪn", "pharmacy", "2026-03-01", "as on the ward")


def written(folder: Path, text: str) -> Path:
    path = folder / "overrides.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_is_no_overrides(tmp_path: Path) -> None:
    assert read_overrides(tmp_path / "overrides.csv") == ()
    assert read_overrides(written(tmp_path, HEADER)) == ()


def test_the_last_line_of_the_same_words_holds(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        HEADER
        + "Cefazolin,ˈsɛfəzoʊlɪn,intern,2026-01-02,\n"
        + "stat,stæt,pharmacy,2026-02-01T08:30:00+01:00,\n"
        + 'CEFAZOLIN,sɛˈfæzəlɪn,pharmacy,2026-03-01,"on the ward, always"\n'
        + "lactate  dehydrogenase,/ˈlækteɪt diˈhaɪdɹədʒəneɪs/,lab,2026-03-01,\n",
    )
    assert read_overrides(path) == (
        Override("stat", "stæt", "pharmacy", "2026-02-01T08:30:00+01:00", ""),
        Override("cefazolin", "sɛˈfæzəlɪn", "pharmacy", "2026-03-01", "on the ward, always"),
        Override("lactate dehydrogenase", "ˈlækteɪt diˈhaɪdɹədʒəneɪs", "lab", "2026-03-01", ""),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cefazolin,sɛˈfæzəlɪn,pharmacy,2026-03-01", "line 3, row: found 4 values"),
        (",sɛˈfæzəlɪn,pharmacy,2026-03-01,", "line 3, term: found ''; allowed: letters and digits"),
        ("cefazolin!,sɛˈfæzəlɪn,pharmacy,2026-03-01,", "line 3, term: found 'cefazolin!'"),
        ("crohn’s,kɹoʊnz,pharmacy,2026-03-01,", "line 3, term: found 'crohn’s'"),
        (
            "cefazolin,,pharmacy,2026-03-01,",
            "line 3, ipa: found ''; allowed: IPA of General American; pronunc",
        ),
        ("cefazolin,sɛˈfæz§lɪn,pharmacy,2026-03-01,", "U+00A7 SECTION SIGN"),
        (
            "cefazolin,sɛˈfæzəlɪn, ,2026-03-01,",
            "line 3, verified_by: found ' '; allowed: who verified it; fill",
        ),
        ("cefazolin,sɛˈfæzəlɪn,pharmacy,,", "line 3, verified_at: found ''; allowed: an ISO 8601 date"),
        (
            "cefazolin,sɛˈfæzəlɪn,pharmacy,1 March 2026,",
            "found '1 March 2026'; allowed: an ISO 8601 date, or",
        ),
        ("cefazolin,sɛˈfæzəlɪn,pharmacy,2026-02-30,", "line 3, verified_at: found '2026-02-30'"),
    ],
)
def test_a_line_that_cannot_be_used_is_located(tmp_path: Path, line: str, problem: str) -> None:
    path = written(tmp_path, f"{HEADER}stat,stæt,pharmacy,2026-02-01,\n{line}\n")
    with pytest.raises(OverridesError) as refused:
        read_overrides(path)
    assert problem in str(refused.value)
    assert len(refused.value.problems) == 1


def test_all_problems_of_the_file_are_reported_in_its_order(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}a b!,stæt,,then,\nstat,stæt\nstat,5,pharmacy,2026-02-01,\n")
    with pytest.raises(OverridesError) as refused:
        read_overrides(path)
    assert [each.partition(":")[0] for each in refused.value.problems] == [
        "line 2, term",
        "line 2, verified_by",
        "line 2, verified_at",
        "line 3, row",
        "line 4, ipa",
    ]


@pytest.mark.parametrize("header", ["term,ipa\n", "ipa,term,verified_by,verified_at,notes\n", "\n"])
def test_another_header_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(OverridesError, match="term,ipa,verified_by,verified_at,notes"):
        read_overrides(written(tmp_path, header))


def test_what_is_added_is_read_and_what_stood_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "overrides.csv"
    append_override(path, CEFAZOLIN)
    first = path.read_bytes()
    later = Override("Cefazolin", "/ˈsɛfəzoʊlɪn/", "ward, 3rd floor", "2026-03-02T10:00:00", 'says "sefa"')
    append_override(path, later)
    assert path.read_bytes().startswith(first)
    assert read_overrides(path) == (
        Override("cefazolin", "ˈsɛfəzoʊlɪn", "ward, 3rd floor", "2026-03-02T10:00:00", 'says "sefa"'),
    )


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(HEADER.rstrip() + "\r\nstat,stæt,lab,2026-02-01,\r\n", id="windows line ends"),
        pytest.param(HEADER + "stat,stæt,lab,2026-02-01,", id="no final line feed"),
    ],
)
def test_a_file_that_was_written_by_hand_is_added_to(tmp_path: Path, before: str) -> None:
    path = tmp_path / "overrides.csv"
    path.write_bytes(before.encode())
    append_override(path, CEFAZOLIN)
    assert path.read_bytes().startswith(before.encode())
    assert [each.term for each in read_overrides(path)] == ["stat", "cefazolin"]


def test_an_empty_file_gets_its_header(tmp_path: Path) -> None:
    path = written(tmp_path, "\n")
    path.write_bytes(b"")
    append_override(path, CEFAZOLIN)
    assert read_overrides(path) == (CEFAZOLIN,)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (Override("cefazolin", "sɛˈfæz§", "pharmacy", "2026-03-01"), "ipa: found"),
        (Override("", "sɛˈfæzəlɪn", "pharmacy", "2026-03-01"), "term: found ''"),
        (Override("cefazolin", "sɛˈfæzəlɪn", "", "2026-03-01"), "verified_by: found ''"),
        (Override("cefazolin", "sɛˈfæzəlɪn", "pharmacy", "today"), "verified_at: found 'today'"),
        (Override("cefazolin", "sɛˈfæzəlɪn", "pharmacy", "2026-03-01", "two\nlines"), "notes: found"),
        (Override("cefazolin", "sɛˈfæzəlɪn", "\ufeffpharmacy", "2026-03-01"), "verified_by: found"),
    ],
)
def test_what_could_not_be_read_again_is_not_added(tmp_path: Path, override: Override, problem: str) -> None:
    path = tmp_path / "overrides.csv"
    with pytest.raises(OverridesError, match="was not added") as refused:
        append_override(path, override)
    assert problem in str(refused.value)
    assert not path.exists()


def test_a_file_with_problems_is_not_added_to(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}stat,stæt\n")
    before = path.read_bytes()
    with pytest.raises(OverridesError, match="line 2, row"):
        append_override(path, CEFAZOLIN)
    assert path.read_bytes() == before


def add(path: Path, number: int) -> None:
    append_override(path, Override(f"word {number}", "stæt", "pharmacy", "2026-03-01"))


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(add, [(path, number) for number in range(24)])
    assert {each.term for each in read_overrides(path)} == {f"word {number}" for number in range(24)}
