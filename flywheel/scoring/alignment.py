"""One row as jiwer shows it: what was said above what was heard, with the errors marked."""

from flywheel.scoring.rows import RowScore

__all__ = ["alignment_text"]


def alignment_text(row: RowScore, line_width: int | None = None) -> str:
    """The lines `REF:`, `HYP:` and the marks `S`, `D`, `I` under them; texts normalised.

    Args:
        row: scored.
        line_width: in characters, at which the lines go on below; None is never.
    """
    import jiwer

    output = jiwer.process_words(row.reference, row.hypothesis)
    shown = jiwer.visualize_alignment(output, show_measures=False, skip_correct=False, line_width=line_width)
    # Its own heading counts sentences; here the row's id says more.
    return "\n".join(line.rstrip() for line in shown.strip().split("\n")[2:])
