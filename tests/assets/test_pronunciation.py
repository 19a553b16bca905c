"""The asset of the pronunciations: which sources it uses, what it says of them, and what it never says."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.pronunciation import pronunciations
from flywheel.corpus.terms import Term, write_term_seed
from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import CycleSteps
from flywheel.pronunciation.lexicon import read_lexicon
from flywheel.pronunciation.overrides import Override, append_override
from resources.data_folder import DataFolder
from resources.dictionary import Dictionary
from resources.speech.resource import Speech
from tests.resources.dictionary_server import DictionaryServer, dictionary_server, status

KEY = "5e7c0de-4b1d+d3n/k3y"
ESCAPED = "5e7c0de-4b1d%2Bd3n%2Fk3y"
TERMS = ("cefazolin", "metoprolol", "knee jerk", "losartan", "odd", "lactate dehydrogenase")


@dataclass(frozen=True)
class Ran:
    """A run of the asset: `log` is (level, message) of what it said, `everything` all that Dagster kept of it."""

    success: bool
    log: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]
    everything: str

    def said(self, text: str) -> list[str]:
        """The levels at which `text` was said."""
        return [level for level, message in self.log if text in message]


class Place:
    """A data folder with a seed, and a Dagster instance."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root = root
        self.instance = instance
        self.data = DataFolder(root=str(root / "data"))
        self.folder = CycleFolder(self.data.path, "cycle1")
        write_term_seed(self.folder.term_seed, [Term(term, "drug") for term in TERMS])
        CycleSteps(self.folder).stamp("term_seed")

    def run(self) -> Ran:
        """Materialise the pronunciations of cycle1."""
        ran = dg.materialize(
            [pronunciations],
            partition_key="cycle1",
            instance=self.instance,
            raise_on_error=False,
            resources={
                "data": self.data,
                "voices": Speech(engine="espeak"),
                "dictionary": Dictionary(data=self.data, attempts=2, pause=0, backoff=0.01, timeout=5),
            },
        )
        kept = self.instance.all_logs(ran.run_id)
        found = ran.asset_materializations_for_node("pronunciations") if ran.success else []
        metadata = {name: value.value for name, value in found[0].metadata.items()} if found else {}
        log = tuple((logging.getLevelName(int(each.level)), each.user_message) for each in kept)
        return Ran(ran.success, log, metadata, "\n".join(map(str, kept)))

    def sources(self) -> dict[str, tuple[str | None, str]]:
        """(IPA, `ipa_source`) of each entry."""
        return {
            each.words: (each.ipa, each.ipa_source)
            for each in read_lexicon(self.folder.pronunciations).entries
        }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("DICTIONARY_API_KEY", "FLYWHEEL_OVERRIDES", "FLYWHEEL_DICTIONARY_URL", "HUME_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Place(tmp_path, dg.DagsterInstance.ephemeral())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DictionaryServer]:
    with dictionary_server(KEY) as running:
        for name in [name for name in os.environ if name.lower() in ("http_proxy", "all_proxy")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("DICTIONARY_API_KEY", KEY)
        monkeypatch.setenv("FLYWHEEL_DICTIONARY_URL", running.url)
        yield running


def test_without_a_key_and_overrides_the_engine_decides_and_candidates_are_proposed(place: Place) -> None:
    ran = place.run()
    assert ran.success
    assert ran.said("dictionary: off: no DICTIONARY_API_KEY") == ["INFO"]
    assert ran.said("overrides: 0 words in ") == ["INFO"]
    assert ran.metadata["by ipa_source"] == {"espeak_g2p": len(TERMS)}
    assert ran.metadata["dictionary"] == "off: no DICTIONARY_API_KEY"
    assert {ipa for ipa, _source in place.sources().values()} == {None}
    losartan = next(
        each for each in read_lexicon(place.folder.pronunciations).entries if each.words == "losartan"
    )
    assert [each.ipa for each in losartan.candidates] == ["ˌloʊˈsɑɹˌtæn"]
    assert "| losartan |  | espeak_g2p | ˌloʊˈsɑɹˌtæn |" in ran.metadata["preview"]


def test_override_then_dictionary_then_engine(place: Place, server: DictionaryServer) -> None:
    append_override(place.data.overrides, Override("Cefazolin", "sɛˈfæzəlɪn", "pharmacy", "2026-03-01", ""))
    append_override(place.data.overrides, Override("stat", "stæt", "pharmacy", "2026-03-01", ""))
    ran = place.run()
    assert ran.success
    assert place.sources() == {
        "cefazolin": ("sɛˈfæzəlɪn", "override"),
        "metoprolol": ("məˈtoʊpɹəˌlɔl", "merriam-webster"),
        "knee jerk": ("ˈni ˈdʒɝk", "merriam-webster"),
        "losartan": (None, "espeak_g2p"),
        "odd": (None, "espeak_g2p"),
        "lactate dehydrogenase": (None, "espeak_g2p"),
        "stat": ("stæt", "override"),
    }
    assert ran.metadata["by ipa_source"] == {"override": 1, "merriam-webster": 2, "espeak_g2p": 3}
    assert ran.metadata["overridden words that are no terms"] == 1
    assert ran.metadata["dictionary"] == "9 asked, 0 cached"
    assert ran.metadata["unknown glyphs"] == [
        "odd: 'ŏ' (U+006F LATIN SMALL LETTER O, U+0306 COMBINING BREVE)"
    ]
    assert ran.said("U+0306 COMBINING BREVE") == ["WARNING"]
    assert ran.said("are sent to 127.0.0.1") == ["INFO"]
    assert "cefazolin" not in server.asked  # what a person decided is nobody's business

    written = place.folder.pronunciations.read_bytes()
    assert place.run().metadata["dictionary"] == "0 asked, 9 cached"
    assert len(server.asked) == 9
    assert place.folder.pronunciations.read_bytes() == written


def test_an_outage_in_the_middle_is_survived_said_and_made_up_for(
    place: Place, server: DictionaryServer
) -> None:
    server.faults = [None, None]
    server.always = status(503)
    ran = place.run()
    assert ran.success
    sources = place.sources()
    assert sources["cefazolin"] == ("səˈfæzələn", "merriam-webster")
    assert sources["metoprolol"] == ("məˈtoʊpɹəˌlɔl", "merriam-webster")
    assert {source for _ipa, source in list(sources.values())[2:]} == {"espeak_g2p"}
    assert ran.said("4 terms of 6 left to the engine, since the dictionary did not answer: HTTP 503") == [
        "WARNING"
    ]
    assert ran.metadata["unanswered by the dictionary"] == 4
    server.always = None
    assert place.run().said("did not answer") == []
    assert place.sources()["knee jerk"] == ("ˈni ˈdʒɝk", "merriam-webster")


def test_a_refused_key_ends_the_step_and_nothing_is_written(
    place: Place, server: DictionaryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICTIONARY_API_KEY", "another-key")
    ran = place.run()
    assert not ran.success
    assert "the dictionary does not take the key in DICTIONARY_API_KEY" in ran.everything
    assert "another-key" not in ran.everything
    assert not place.folder.pronunciations.exists()
    assert len(server.asked) == 1


def test_overrides_that_cannot_be_used_end_the_step(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.root / "mine.csv"
    path.write_text("term,ipa,verified_by,verified_at,notes\ncefazolin,sɛˈfæz§,pharmacy,2026-03-01,\n")
    monkeypatch.setenv("FLYWHEEL_OVERRIDES", str(path))
    ran = place.run()
    assert not ran.success
    assert f"{path}: 1 problem" in ran.everything and "line 2, ipa" in ran.everything
    assert not place.folder.pronunciations.exists()


def test_the_key_is_in_no_event_log_metadata_or_file(place: Place, server: DictionaryServer) -> None:
    (place.root / "instance").mkdir()
    with dg.DagsterInstance.local_temp(str(place.root / "instance")) as place.instance:
        runs = [place.run()]
        shutil.rmtree(place.data.dictionary)
        server.always = status(503, f"/json/cefazolin?key={ESCAPED}")
        runs.append(place.run())
    assert all(ran.success for ran in runs) and set(server.keys) == {KEY}
    files = [path for path in place.root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)  # Dagster's own storage, too
    told = [text.encode() for ran in runs for text in (ran.everything, json.dumps(ran.metadata))]
    for kept in [*told, *(path.read_bytes() for path in files)]:
        assert KEY.encode() not in kept and ESCAPED.encode() not in kept
