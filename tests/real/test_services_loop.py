"""The loop with all the services a team may have, each of them a server on loopback: Hume speaks, the dictionary
pronounces, W&B tracks, a bucket keeps, and no key is left anywhere."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from flywheel.corpus.manifest import read_manifest
from flywheel.cycle.tracking import cycle_record
from flywheel.files.atomic import read_json
from flywheel.files.cycles import CycleFolder
from flywheel.speech.purchasing.ledger import read_ledger
from loopback import hume_server
from tests.real.loop_place import Place, Ran
from tests.real.object_store import s3_server
from tests.real.wandb_server import KEY as WANDB_KEY
from tests.real.wandb_server import WandbServer, wandb_server
from tests.resources.dictionary_server import DictionaryServer, dictionary_server

pytestmark = pytest.mark.real

SEED = "term,entity_category\ncefazolin,drug\nferritin,lab\nvancomycin,drug\nbronchoscopy,procedure\n"
OVERRIDES = (
    "term,ipa,verified_by,verified_at,notes\n"
    "bronchoscopy,bɹɑŋˈkɑskəpi,a pharmacist,2026-01-15,\n"
    "milligrams,ˈmɪlɪˌɡɹæmz,a pharmacist,2026-01-15,a context word\n"
)
DICTIONARY_KEY = "a-key-of-the-dictionary/5e7c0de"
BUCKET = "flywheel-copies"
CLOSED = {"gate": {"minimum_rows": 10_000}, "boosted_eval": {"enabled": False}}
"""What boosting and a training add is a matter of the other loops."""
SECRETS = (hume_server.KEY, DICTIONARY_KEY, WANDB_KEY, s3_server.KEY_ID, s3_server.SECRET)


@dataclass(frozen=True)
class Turned:
    """A cycle that was turned with all services, and these as they were afterwards."""

    place: Place
    ran: Ran
    again: Ran
    hume: hume_server.HumeServer
    dictionary: DictionaryServer
    wandb: WandbServer
    objects: dict[str, bytes]
    bought: int
    """Utterances, after the first run."""
    asked: list[str]
    """Words that the dictionary was asked for in the first run."""

    @property
    def folder(self) -> CycleFolder:
        return CycleFolder(self.place.data, "cycle1")


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turned]:
    root = tmp_path_factory.mktemp("services")
    overrides = root / "overrides.csv"
    overrides.write_text(OVERRIDES, encoding="utf-8")
    with ExitStack() as stack:
        hume = stack.enter_context(hume_server.HumeServer())
        dictionary = stack.enter_context(dictionary_server(DICTIONARY_KEY))
        wandb = stack.enter_context(wandb_server())
        s3 = stack.enter_context(s3_server.s3_server())
        s3.client.create_bucket(Bucket=BUCKET)
        place = Place(
            root / "place",
            seed=SEED,
            variables={
                **s3_server.VARIABLES,
                "HUME_API_KEY": hume_server.KEY,
                "FLYWHEEL_HUME_URL": hume.url,
                "DICTIONARY_API_KEY": DICTIONARY_KEY,
                "FLYWHEEL_DICTIONARY_URL": dictionary.url,
                "WANDB_API_KEY": WANDB_KEY,
                "WANDB_BASE_URL": wandb.url,
                "FLYWHEEL_BUCKET": f"s3://{BUCKET}/team",
                "FLYWHEEL_S3_ENDPOINT": s3.endpoint,
                "FLYWHEEL_OVERRIDES": str(overrides),
                "FLYWHEEL_CONSENT_TO_COST": "YES",
            },
            resources={"voices": {"concurrency": 8, "requests_per_minute": 0}},
        )
        ran = place.run(config=CLOSED)
        assert ran.exit_code == 0, ran.lines[-6000:]
        bought, asked = sum(hume.spoken.values()), list(dictionary.asked)
        again = place.run(config=CLOSED)
        yield Turned(place, ran, again, hume, dictionary, wandb, s3.objects(BUCKET), bought, asked)


def test_the_run_says_which_services_it_uses_before_it_uses_them(turned: Turned) -> None:
    said = turned.ran.lines
    places = [
        said.index(line)
        for line in (
            "HUME_API_KEY is accepted",
            "dictionary: Merriam-Webster's medical dictionary; terms that it has not answered yet are sent to",
            "to be bought from hume: ",
            "speech: hume speaks (since HUME_API_KEY is set); the sentences go to Hume",
            "W&B is online",
        )
    ]
    assert places == sorted(places)


def test_each_row_is_spoken_by_hume_and_bought_once(turned: Turned) -> None:
    rows = read_manifest(turned.folder.manifest)
    assert {row.voice_id.partition(":")[0] for row in rows} == {"hume"}
    assert turned.hume.twice() == {}
    kept = [entry for entry in read_ledger(turned.place.data / "speech") if entry.outcome == "kept"]
    assert len(kept) == len({entry.key for entry in kept}) == turned.bought
    assert {row.synthesis_group for row in rows} <= {entry.key for entry in kept}


def test_each_term_is_pronounced_by_who_knows_best(turned: Turned) -> None:
    rows = [row for row in read_manifest(turned.folder.manifest) if row.is_clinical]
    assert {row.term: row.ipa_source for row in rows} == {
        "bronchoscopy": "override",
        "cefazolin": "merriam-webster",
        "ferritin": "merriam-webster",
        "vancomycin": "hume_g2p",
    }
    page = (turned.folder.leaderboard(1)).read_text(encoding="utf-8")
    of_source = page.partition("## 3. ")[2].partition("## 4. ")[0].replace("\\", "")
    assert all(source in of_source for source in ("override", "merriam-webster", "hume_g2p"))
    assert "bronchoscopy" not in turned.asked, "what a person decided is not looked up"
    sent = {entry.text: entry.sent for entry in read_ledger(turned.place.data / "speech")}
    assert all("bronchoscopy" not in said for text, said in sent.items() if "bronchoscopy" in text)
    assert all("milligrams" not in said for said in sent.values()), "a context word is overridden, too"


def test_the_run_of_the_cycle_holds_its_scores_and_its_page(turned: Turned) -> None:
    figures = cycle_record(turned.folder).figures
    held_out = read_json(turned.folder.baseline.scores)["slices"]["held_out"]
    assert figures["baseline/held_out/wer"] == held_out["wer"]["value"]
    assert {name: turned.wandb.summary[name] for name in figures} == figures
    assert any(name.endswith("leaderboard_cycle1.md") or ".md" in name for name in turned.wandb.uploads)


def test_the_bucket_holds_the_cycle_and_its_audio(turned: Turned) -> None:
    names = {name.removeprefix("team/") for name in turned.objects}
    assert {"cycles/cycle1/index.json", "cycles/cycle1/leaderboard_cycle1.md"} <= names
    audio = {Path(row.audio_filepath).name for row in read_manifest(turned.folder.manifest)}
    assert {f"speech/{name}" for name in audio} <= names
    manifest = turned.objects["team/cycles/cycle1/manifest.jsonl"].decode()
    assert f"s3://{BUCKET}/team/speech/" in manifest and str(turned.place.data) not in manifest


def test_again_unchanged_nothing_is_bought_asked_or_sent(turned: Turned) -> None:
    assert turned.again.exit_code == 0, turned.again.lines[-6000:]
    assert sum(turned.hume.spoken.values()) == turned.bought
    counts = Counter(turned.dictionary.asked) - Counter(turned.asked)
    assert set(counts) <= {"aspirin"}, "only the doctor tries the key again"
    for asset, field in (("tracked_run", "cache_hits"), ("bucket_copy", "objects sent")):
        latest, _first = turned.place.materialisations(asset)
        assert latest[field] == {"cache_hits": 1, "objects sent": 0}[field], asset


def test_no_key_is_left_anywhere(turned: Turned) -> None:
    assert turned.hume.refused_keys == 0, "the keys were used"
    seen = {f"the bucket's {name}": content for name, content in turned.objects.items()}
    seen |= {f"W&B's {name}": content for name, content in turned.wandb.uploads.items()}
    for path in filter(Path.is_file, turned.place.root.rglob("*")):
        seen[str(path)] = path.read_bytes()
    assert len(seen) > 100
    for where, content in seen.items():
        assert [secret for secret in SECRETS if secret.encode() in content] == [], where
    for ran in (turned.ran, turned.again):
        assert [secret for secret in SECRETS if secret in ran.lines] == []
