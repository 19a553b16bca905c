"""The model card of the bundled base: what it is, what it was trained on, how well it hears."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flywheel.scoring.normalizers import CLINICAL


@dataclass(frozen=True, slots=True)
class Measurement:
    """A word error rate, micro (errors / reference words), on `rows` held-out sentences."""

    wording: str
    voices: str
    noise_level: str
    rows: int
    words: int
    errors: int
    wer: float


def render_card(card: Mapping[str, Any]) -> str:
    """The card as markdown, from the values of `base_model_card.json`."""
    recipe = card["recipe"]
    rows = "\n".join(
        f"| {row['wording']} | {row['voices']} | {row['noise_level']} | {row['wer']:.3f} | {row['errors']} / "
        f"{row['words']} | {row['rows']} |"
        for row in card["measured"]
    )
    facts = {
        "Data": f"{recipe['sentences']:,} sentences, {card['hours_of_speech']} hours: a small grammar of general "
        "and clinical English, and draws from frequent words (`wordfreq`, CC BY-SA 4.0), spoken by espeak-ng",
        "Left out": "every word of the bundled starter seed; no list of drug names was used",
        "Voices": f"{card['voices']} (accent times variant), the voices of a cycle in "
        f"{card['cycle_voice_share']:.0%} of the sentences, {' to '.join(map(str, card['rates']))} words a minute; "
        f"not: {', '.join(card['unseen_voices'])}",
        "Noise": f"{card['clean_share']:.0%} of the sentences clean, the others at 5 to 20 dB of pink, white, "
        "babble-like or hum noise",
        "Recipe": f"{recipe['clean_steps']:,} steps on clean speech; {recipe['steps']:,} on all of it, the rate "
        f"falling as for {recipe['horizon']:,}; {recipe['anneal_steps']:,} more from a rate of {recipe['anneal_lr']}; "
        f"each with an AdamW of its own, a rate of at most {recipe['lr']}, {recipe['warmup_steps']} warm-up "
        "steps and a cosine; "
        f"about {recipe['batch_seconds']:.0f} s of audio a step; SpecAugment of 2 x 15 bins and 2 x 4 % of the time",
        "Seed": str(recipe["seed"]),
        "Time": f"{card['training_seconds']:,} s of training on two CPU cores",
        "Reproduce": "`make base`",
    }
    fact_rows = "\n".join(f"| {name} | {fact} |" for name, fact in facts.items())
    return f"""# Model card: the bundled base model

A FastConformer-CTC of {card["parameters"]:,} parameters ({card["megabytes"]} MB), trained from nothing on
synthetic speech. It is there so that the whole loop turns on a machine without a GPU and without a
download. It is not a recogniser for people: it has never heard one.

| | |
|---|---|
{fact_rows}

Word error rate on the bundled general sentences, none of which is in the training text. Known voices are
the eight that a cycle speaks with, unseen ones are held out of every training. Normaliser:
`{CLINICAL.name}` {CLINICAL.version}.

| wording | voices | noise | WER | errors / words | sentences |
|---|---|---|---|---|---|
{rows}
"""
