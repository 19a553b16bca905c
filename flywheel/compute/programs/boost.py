"""Choose how strongly a model's decoder should boost the terms, then transcribe the rows with it: one load for all.

python -m flywheel.compute.programs.boost --model base.nemo --plan plan.json --trials trials.jsonl \
    --manifest rows.jsonl --baseline baseline.jsonl --output offline_hyps.jsonl --choice choice.json
"""

import argparse
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.compute.programs.transcribe import hear, hypotheses_of, load_model
from flywheel.corpus.manifest import ManifestRow, read_manifest
from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_jsonl
from flywheel.files.records import read_record, write_record
from flywheel.recognisers.boosting import BoostingChoice, BoostingPlan, chosen_alpha, try_strengths
from flywheel.scoring import Transcript

if TYPE_CHECKING:
    from omegaconf import DictConfig

_SHOUTED = 5
"""A term of one word and at most so many letters is also boosted in capitals: it may be an abbreviation."""


@dataclass(frozen=True, slots=True)
class BoostingOptions:
    """What a boosting job is asked for; the command line's options."""

    model: str
    plan: Path
    trials: Path
    manifest: Path
    baseline: Path
    output: Path
    choice: Path
    batch_size: int = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="flywheel.compute.programs.boost", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--model", required=True, help="a .nemo file, or the name of a published model")
    parser.add_argument("--plan", type=Path, required=True, help="the terms, and the strengths to try")
    parser.add_argument("--trials", type=Path, required=True, help="the manifest the strength is chosen on")
    parser.add_argument("--manifest", type=Path, required=True, help="the manifest to transcribe with it")
    parser.add_argument("--baseline", type=Path, required=True, help="its hypotheses without boosting")
    parser.add_argument("--output", type=Path, required=True, help="its hypotheses with the chosen strength")
    parser.add_argument("--choice", type=Path, required=True, help="the chosen strength and the trials")
    parser.add_argument("--batch-size", type=int, default=64, help="rows that are decoded together")
    options = BoostingOptions(**vars(parser.parse_args(arguments)))
    try:
        boost(options)
    except FlywheelError as error:
        raise SystemExit(f"error: {error}") from None


def boost(options: BoostingOptions) -> None:
    """Write `choice` and `output`: where no strength helps, `output` is a copy of `baseline`.

    Raises `FlywheelError` where the model's decoder cannot be boosted.
    """
    plan = read_record(options.plan, BoostingPlan)
    trials, rows = read_manifest(options.trials), read_manifest(options.manifest)
    model = BoostedModel(options.model, plan, options.batch_size)
    tried = try_strengths(plan, lambda alpha: _transcripts(trials, model.hear(trials, alpha)))
    alpha = chosen_alpha(tried, plan.general_wer_cap)
    print(f"chosen: alpha {alpha:g} of {', '.join(f'{trial.alpha:g}' for trial in tried)}", flush=True)
    if alpha:
        write_jsonl(options.output, hypotheses_of(rows, model.hear(rows, alpha)))
    else:
        shutil.copyfile(options.baseline, options.output)
    write_record(options.choice, BoostingChoice(alpha, tuple(model.unwritable), tried))


class BoostedModel:
    """A model whose decoder boosts the terms of a plan, at a strength that can be changed.

    `unwritable` are the terms that the model's tokens cannot write.

    Args:
        name: a `.nemo` file, or the name of a published model.
        plan: the terms and the search.
        batch_size: rows that are decoded together.

    Raises:
        FlywheelError: the decoder cannot be boosted.
    """

    def __init__(self, name: str, plan: BoostingPlan, batch_size: int) -> None:
        from omegaconf import DictConfig, OmegaConf

        self._name, self._plan, self._batch_size = name, plan, batch_size
        self._model = load_model(name)
        self._strategies = _strategies(self._model, name)
        spellings = {term: self._spellings(term) for term in plan.terms}
        self._phrases = list(dict.fromkeys(each for found in spellings.values() for each in found))
        self.unwritable = [term for term, found in spellings.items() if not found]
        self._own = DictConfig(OmegaConf.to_container(self._model.cfg.decoding, resolve=True))
        self._alpha = 0.0
        if self.unwritable:
            print(f"{name} has no tokens to write, and so does not boost: {', '.join(self.unwritable)}")

    def hear(self, rows: Sequence[ManifestRow], alpha: float) -> dict[str, str]:
        """What is heard of each row at a strength, by the row's id; at 0 by the model's own decoding."""
        if alpha != self._alpha:
            self._decode_with(self._boosted(alpha) if alpha and self._phrases else self._own)
            self._alpha = alpha
        what = f"alpha {alpha:g}: transcribed"
        return hear(self._model, self._name, rows, batch_size=self._batch_size, what=what)

    def _spellings(self, term: str) -> list[str]:
        """How the model may write the term: as the seed has it, with a capital, as an abbreviation, without hyphens;
        those of them that its tokens can write. What is compared later has neither capitals nor hyphens."""
        cased = (term, term[:1].upper() + term[1:], *((term.upper(),) if _may_be_short(term) else ()))
        spellings = dict.fromkeys((*cased, *(each.replace("-", " ") for each in cased)))
        return [spelling for spelling in spellings if self._can_write(spelling)]

    def _can_write(self, spelling: str) -> bool:
        tokenizer = self._model.tokenizer
        return tokenizer.unk_id not in tokenizer.text_to_ids(spelling)

    def _boosted(self, alpha: float) -> "DictConfig":
        """The model's own decoding with the terms boosted at a strength above 0."""
        import torch
        from omegaconf import OmegaConf

        strategy, section = self._strategies[self._plan.search]
        tree = {
            "key_phrases_list": self._phrases,
            # NeMo's own weights: each token that continues a term scores 1, later ones more.
            "context_score": 1.0,
            "depth_scaling": 2.0,
            # None: where it is installed. NeMo's default insists on it, also where there is no GPU.
            "use_triton": None if torch.cuda.is_available() else False,
        }
        changes = {
            "strategy": strategy,
            "preserve_alignments": False,
            "compute_timestamps": False,
            f"{section}.boosting_tree": tree,
            f"{section}.boosting_tree_alpha": alpha,
        }
        if section == "beam":
            changes |= {
                "beam.beam_size": self._plan.beam_size,
                "beam.return_best_hypothesis": True,
                # CTC's search would also reward each token, which is no boosting.
                "beam.beam_beta": 0.0,
            }
        decoding = self._own.copy()
        for key, value in changes.items():
            OmegaConf.update(decoding, key, value, merge=False, force_add=True)
        return decoding

    def _decode_with(self, decoding: "DictConfig") -> None:
        try:
            self._model.change_decoding_strategy(decoding, verbose=False)
        except (NotImplementedError, ValueError) as error:
            raise _not_boostable(self._name, f"NeMo refuses {decoding.strategy} for it ({error})") from error


def _strategies(model: Any, name: str) -> Mapping[str, tuple[str, str]]:
    """For each search NeMo's strategy, and the section of its configuration."""
    from nemo.collections.asr.models import EncDecCTCModelBPE, EncDecHybridRNNTCTCBPEModel, EncDecRNNTBPEModel
    from nemo.collections.common.tokenizers import AggregateTokenizer

    if isinstance(getattr(model, "tokenizer", None), AggregateTokenizer):
        raise _not_boostable(name, "it has tokens of their own for each language")
    if isinstance(model, EncDecCTCModelBPE):
        return {"beam": ("beam_batch", "beam"), "greedy": ("greedy_batch", "greedy")}
    # RNNT, TDT, and hybrids of these with CTC, which are decoded by the former.
    if isinstance(model, EncDecRNNTBPEModel | EncDecHybridRNNTCTCBPEModel):
        return {"beam": ("malsd_batch", "beam"), "greedy": ("greedy_batch", "greedy")}
    kinds = "CTC, RNNT and TDT models with subword tokens can be"
    raise _not_boostable(name, f"it is a {type(model).__name__}; {kinds}")


def _not_boostable(name: str, why: str) -> FlywheelError:
    return FlywheelError(
        f"{name}: the terms cannot be boosted when this model decodes: {why}. To go on without, set boosted_eval's "
        "`enabled` to false"
    )


def _may_be_short(term: str) -> bool:
    return len(term) <= _SHOUTED and " " not in term


def _transcripts(rows: Sequence[ManifestRow], heard: Mapping[str, str]) -> list[Transcript]:
    lines: Iterable[dict[str, Any]] = hypotheses_of(rows, heard)
    return [Transcript(**line) for line in lines]


if __name__ == "__main__":
    main()
