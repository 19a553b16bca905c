"""The bundled model's file says what fine-tuning and its card need."""

import tarfile

import yaml

from flywheel.compute.programs.base_model import FINETUNING_DROPOUT
from flywheel.files import bundled
from flywheel.files.atomic import read_json


def test_the_bundled_model_is_ready_for_fine_tuning() -> None:
    with tarfile.open(bundled.path("base_fastconformer_ctc.nemo")) as archive:
        name = next(each for each in archive.getnames() if each.endswith("model_config.yaml"))
        member = archive.extractfile(name)
        assert member is not None
        encoder = yaml.safe_load(member.read())["encoder"]
    found = {name: encoder[name] for name in ("dropout", "dropout_pre_encoder", "dropout_att")}
    assert set(found.values()) == {FINETUNING_DROPOUT}


def test_the_bundled_model_hears_as_well_as_was_aimed_for() -> None:
    measured = read_json(bundled.path("base_model_card.json"))["measured"]
    wer = {(row["wording"], row["voices"], row["noise_level"]): row["wer"] for row in measured}
    assert wer["clinical", "known", "clean"] <= 0.25
    assert wer["clinical", "unseen", "clean"] <= 1.5 * wer["clinical", "known", "clean"]
    assert wer["clinical", "known", "snr_15db"] <= 1.5 * wer["clinical", "known", "clean"]


def test_the_bundled_model_is_small() -> None:
    assert bundled.path("base_fastconformer_ctc.nemo").stat().st_size <= 12_000_000
