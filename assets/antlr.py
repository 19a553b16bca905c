"""Lets Dagster read asset selections beside NeMo.

Dagster's grammar of selections (`--select 'gate+'`) is generated for version 4.13 of the ANTLR runtime. NeMo pins
Hydra, which pins version 4.9: the two cannot be installed together, and under 4.9 every selection ends in a
TypeError, `*` included. The versions differ in how a grammar's table is written down: 4.9 reads text, 4.13 a
list of numbers with one list of character sets instead of two. `read_new_tables` teaches the old runtime the new
table and leaves the old one, which Hydra needs, as it is. It goes when NeMo lets Hydra go on.
"""

from typing import Any

from antlr4.atn.ATNDeserializer import ATNDeserializer
from antlr4.Recognizer import Recognizer

_NEW_FORMAT = 4
_NEW_GENERATOR = "4.13.2"


def read_new_tables() -> None:
    """Patch the runtime; a second call, or a newer runtime, changes nothing."""
    if getattr(ATNDeserializer.deserialize, "reads_new_tables", False) or not hasattr(
        ATNDeserializer, "checkUUID"
    ):
        return
    read_old = ATNDeserializer.deserialize
    compare_versions = Recognizer.checkVersion

    def deserialize(self: Any, data: Any) -> Any:
        return read_old(self, data) if isinstance(data, str) else _read_new(self, data)

    def check_version(self: Any, tool_version: str) -> None:
        # The old runtime would print a warning to standard output for each selection.
        if tool_version != _NEW_GENERATOR:
            compare_versions(self, tool_version)

    deserialize.reads_new_tables = True  # type: ignore[attr-defined]
    ATNDeserializer.deserialize = deserialize
    Recognizer.checkVersion = check_version


def _read_new(reader: Any, numbers: list[int]) -> Any:
    """The grammar in a table of the new format, read by the old runtime's own parts."""
    reader.data, reader.pos, reader.uuid = list(numbers), 0, None
    if (found := reader.readInt()) != _NEW_FORMAT:
        raise ValueError(f"an ANTLR table of format {found} cannot be read; known is {_NEW_FORMAT}")
    grammar = reader.readATN()
    reader.readStates(grammar)
    reader.readRules(grammar)
    reader.readModes(grammar)
    sets: list[Any] = []
    reader.readSets(grammar, sets, reader.readInt)
    reader.readEdges(grammar, sets)
    reader.readDecisions(grammar)
    reader.readLexerActions(grammar)
    reader.markPrecedenceDecisions(grammar)
    reader.verifyATN(grammar)
    return grammar
