"""The term seed: what a seed may hold, and what a person is told about one that cannot be used."""

from collections import Counter
from pathlib import Path

import pytest

from flywheel.corpus.terms import ENTITY_CATEGORIES, Term, TermSeedError, read_term_seed
from flywheel.errors import FlywheelError
from flywheel.files import bundled

HEADER = b"term,entity_category\n"
CATEGORIES = "drug, procedure, anatomy, condition, lab, role"


def write_seed(folder: Path, data: bytes) -> Path:
    path = folder / "seed.csv"
    path.write_bytes(data)
    return path


def refusal(path: Path) -> TermSeedError:
    with pytest.raises(TermSeedError) as refused:
        read_term_seed(path)
    return refused.value


def test_a_seed_is_read_in_file_order(tmp_path: Path) -> None:
    seed = write_seed(tmp_path, HEADER + b"troponin,lab\nsacubitril valsartan,drug\nco-trimoxazole,drug\n")
    assert read_term_seed(seed) == (
        Term("troponin", "lab"),
        Term("sacubitril valsartan", "drug"),
        Term("co-trimoxazole", "drug"),
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"crohn's disease,condition\nferritin,lab", id="no final line feed"),
        pytest.param(b"crohn's disease,condition\r\nferritin,lab\r\n", id="windows line ends"),
        pytest.param(b"crohn's disease,condition\rferritin,lab\r", id="old mac line ends"),
        pytest.param(b"\ncrohn's disease,condition\n\n   \nferritin,lab\n\n", id="blank lines"),
        pytest.param(b'"crohn\'s disease","condition"\n"ferritin",lab\n', id="quoted values"),
    ],
)
def test_what_a_spreadsheet_or_editor_does_to_lines_changes_nothing(tmp_path: Path, body: bytes) -> None:
    seed = write_seed(tmp_path, HEADER + body)
    assert read_term_seed(seed) == (Term("crohn's disease", "condition"), Term("ferritin", "lab"))


REFUSED_FILES = [
    pytest.param(b"", "file: found an empty file; allowed: the header term,entity_category", id="no bytes"),
    pytest.param(b"\n \n", "file: found an empty file; allowed: the header term,entity_category", id="blank"),
    pytest.param(HEADER, "file: found a header without terms; allowed: at least one term", id="no terms"),
    pytest.param(
        b"cefazolin,drug\n",
        "line 1, header: found 'cefazolin,drug'; allowed: 'term,entity_category'; put that header",
        id="no header",
    ),
    pytest.param(
        b"\nentity_category,term\ndrug,cefazolin\n",
        "line 2, header: found 'entity_category,term'; allowed: 'term,entity_category'",
        id="columns swapped",
    ),
    pytest.param(
        b"term;entity_category\ncefazolin;drug\n",
        "line 1, header: found 'term;entity_category'; allowed: 'term,entity_category'",
        id="semicolons",
    ),
    pytest.param(
        b"Term,Entity Category\ncefazolin,drug\n",
        "line 1, header: found 'Term,Entity Category'; allowed: 'term,entity_category'",
        id="other names",
    ),
    pytest.param(
        b"\xef\xbb\xbf" + HEADER + b"cefazolin,drug\n",
        "line 1, encoding: found a byte-order mark (U+FEFF) at character 1; "
        "allowed: UTF-8 without byte-order marks; save the file again as plain UTF-8",
        id="byte-order mark at the start",
    ),
    pytest.param(
        HEADER + b"cefazolin,drug\napi\xef\xbb\xbfxaban,drug\n",
        "line 3, encoding: found a byte-order mark (U+FEFF) at character 4; allowed: UTF-8 without",
        id="byte-order mark in a term",
    ),
    pytest.param(
        HEADER + b"cefazolin,drug\nm\xe9n\xe9trier,condition\n",
        "line 3, encoding: found the byte 0xe9 after 'm'; allowed: UTF-8; save the file again",
        id="latin-1",
    ),
    pytest.param(
        "term,entity_category\ncefazolin,drug\n".encode("utf-16"),
        "file: found UTF-16, UTF-32 or binary data; allowed: UTF-8 text; save the file again",
        id="utf-16",
    ),
]


@pytest.mark.parametrize(("data", "message"), REFUSED_FILES)
def test_a_file_that_is_no_seed_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    problems = refusal(write_seed(tmp_path, data)).problems
    assert len(problems) == 1
    assert problems[0].startswith(message)


LETTERS = "allowed: lower case letters a to z, one space between words, ' and - inside a word"
REFUSED_ROWS = [
    ("cefazolin,medicine", f"line 3, entity_category: found 'medicine'; allowed: {CATEGORIES}"),
    ("cefazolin,Drug", f"line 3, entity_category: found 'Drug'; allowed: {CATEGORIES}; write drug"),
    ("cefazolin, drug", f"line 3, entity_category: found ' drug'; allowed: {CATEGORIES}; write drug"),
    ("cefazolin,", f"line 3, entity_category: found ''; allowed: {CATEGORIES}"),
    ("ferritin,lab", "line 3, term: found the duplicate 'ferritin'; allowed: each term once, whatever its "
     "category; first seen in line 2; leave one of them out"),
    ("ferritin,drug", "line 3, term: found the duplicate 'ferritin'; allowed: each term once, whatever its "
     "category; first seen in line 2; leave one of them out"),
    ('"cefazolin, sodium",drug', "line 3, term: found ',' (U+002C comma) in 'cefazolin, sodium'; "
     f"{LETTERS}; give each term a line of its own"),
    ("cefazolin, sodium,drug", "line 3, row: found 3 values ('cefazolin, sodium,drug'); allowed: 2 values "
     "(term,entity_category); a comma separates values and may not stand inside one"),
    ("cefazolin", "line 3, row: found 1 values ('cefazolin'); allowed: 2 values (term,entity_category)"),
    ('"cefazolin,drug', "line 3, quoting: found '\"cefazolin,drug' (unexpected end of data); "
     "allowed: quotes that open and close around one value, on one line"),
    ("crohn’s disease,condition", "line 3, term: found '’' (U+2019 right single quotation mark) "
     f"in 'crohn’s disease'; {LETTERS}; write the plain ' instead"),
    ("vitamin b12,lab", "line 3, term: found '1' (U+0031 digit one), '2' (U+0032 digit two) in "
     f"'vitamin b12'; {LETTERS}; spell numbers out as they are spoken"),
    ("sjögren syndrome,condition", "line 3, term: found 'ö' (U+00F6 latin small letter o with diaeresis) "
     f"in 'sjögren syndrome'; {LETTERS}; write 'o' instead"),
    ("h/o asthma,condition", "line 3, term: found '/' (U+002F solidus) in 'h/o asthma'; "
     f"{LETTERS}; leave it out, or write it as it is spoken"),
    ("Cefazolin,drug", f"line 3, term: found upper case in 'Cefazolin'; {LETTERS}; write 'cefazolin'"),
    (" popliteal  fossa,anatomy", "line 3, term: found extra spaces in ' popliteal  fossa'; "
     f"{LETTERS}; write 'popliteal fossa'"),
    ("popliteal\u00a0fossa,anatomy", "line 3, term: found extra spaces in 'popliteal\\xa0fossa'; "
     f"{LETTERS}; write 'popliteal fossa'"),
    ("-cefazolin,drug", f"line 3, term: found '-cefazolin'; {LETTERS}"),
    ("patients' transport,role", f"line 3, term: found \"patients' transport\"; {LETTERS}"),
    (",drug", "line 3, term: found ''; allowed: a term; fill it in, or leave the line out"),
    ("k,lab", "line 3, term: found 'k'; allowed: 2 letters or more; spell it as it is spoken"),
    ("left upper lobe of the lung,anatomy", "line 3, term: found 6 words in 'left upper lobe of the lung'; "
     "allowed: at most 5 words"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "message"), REFUSED_ROWS, ids=[row for row, _ in REFUSED_ROWS])
def test_a_refused_row_names_line_field_value_and_what_is_allowed(
    tmp_path: Path, row: str, message: str
) -> None:
    seed = write_seed(tmp_path, HEADER + f"ferritin,lab\n{row}\n".encode())
    assert refusal(seed).problems == (message,)


def test_duplicates_are_seen_through_case_and_spaces(tmp_path: Path) -> None:
    seed = write_seed(tmp_path, HEADER + b"popliteal fossa,anatomy\nPopliteal  Fossa,anatomy\n")
    duplicates = [problem for problem in refusal(seed).problems if "duplicate" in problem]
    assert len(duplicates) == 1
    assert "line 3" in duplicates[0]
    assert "first seen in line 2" in duplicates[0]


def test_all_problems_of_a_file_come_in_one_report_in_file_order(tmp_path: Path) -> None:
    body = "Cefazolin,drug\ncefazolin,pill\n\nx,y,z\nvitamin b12,lab\nsjögren’s,illness\n"
    error = refusal(write_seed(tmp_path, b"\xef\xbb\xbf" + HEADER + body.encode()))
    places = [problem.split(":")[0] for problem in error.problems]
    assert places == [
        "line 1, encoding",
        "line 2, term",
        "line 3, term",
        "line 3, entity_category",
        "line 5, row",
        "line 6, term",
        "line 7, term",
        "line 7, term",
        "line 7, entity_category",
    ]
    assert str(error).startswith(f"{tmp_path / 'seed.csv'}: 9 problems\n")
    assert isinstance(error, FlywheelError)


def test_a_missing_seed_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    missing = refusal(tmp_path / "none.csv")
    assert missing.subject == str(tmp_path / "none.csv")
    assert missing.problems[0].startswith("file: found no such file or directory; allowed: a readable CSV")
    assert refusal(tmp_path).problems[0].startswith("file: found is a directory; allowed: a readable CSV")


def test_the_starter_seed_has_every_category_and_drugs_most() -> None:
    counts = Counter(term.entity_category for term in read_term_seed(bundled.path("starter_seed.csv")))
    assert counts == {"drug": 12} | {category: 4 for category in ENTITY_CATEGORIES if category != "drug"}


def test_a_file_that_is_not_bundled_is_named_with_those_that_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"other\.csv: not bundled; .*starter_seed\.csv"):
        bundled.path("other.csv")
