"""The content of a file, whatever its surroundings: of a `.nemo` its weights and settings, of JSON its text.

A `.nemo` is a tar archive, and the checkpoint in it a zip archive; both note when they were written. A model that is
trained again to the same weights is the same model, and so is one that was packed again.
"""

import hashlib
import io
import re
import tarfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import IO

from flywheel.files.atomic import sha256_of_file

__all__ = ["content_of_file", "model_content"]

_CHUNK = 1 << 20
_WHERE = re.compile(rb'("audio_filepath": ?")[^"]*/|("file": ?")[^"]*')
_DRAWN = re.compile(r"^[0-9a-f]{32}_")
_UNIQUE = re.compile(rb"nemo:[0-9a-f]{32}_")
_UNTOLD = ("/.data/serialization_id",)
"""Members of a checkpoint that say nothing of the model."""


def content_of_file(path: Path) -> str:
    """The SHA-256 of what a file says, wherever the data folder lies.

    Of a model it is that of its weights and settings, see `model_content`; of JSON and JSON Lines that of their text,
    whatever folder their audio lies in and wherever a model's file does. What has the same size and time of change as
    before in this process is not read again.
    """
    found = path.stat()
    return _content(path, found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=4096)
def _content(path: Path, _size: int, _changed: int, _inode: int) -> str:
    if path.suffix == ".nemo":
        return model_content(path)
    if path.suffix in (".json", ".jsonl"):
        return hashlib.sha256(_WHERE.sub(rb"\1\2", path.read_bytes())).hexdigest()
    return sha256_of_file(path)


def model_content(path: Path) -> str:
    """SHA-256, in hexadecimal, of the names and contents of a `.nemo` file's members, and of the members of the
    checkpoint among them. Of a file that is no tar archive it is that of its bytes: it is no model, or a damaged one.
    """
    try:
        with tarfile.open(path) as archive:
            members = {_name(member): member for member in archive if member.isfile()}
            digest = hashlib.sha256()
            for name in sorted(members):
                content = archive.extractfile(members[name])
                if content is not None:
                    digest.update(f"{name}\0{_member(content, name)}\n".encode())
            return digest.hexdigest()
    except (tarfile.TarError, EOFError, OSError, zipfile.BadZipFile):
        return sha256_of_file(path)


def _name(member: tarfile.TarInfo) -> str:
    """`tokenizer.model` for `./<32 random digits>_tokenizer.model`: NeMo draws them anew at each saving."""
    return _DRAWN.sub("", member.name.removeprefix("./"))


def _member(content: IO[bytes], name: str) -> str:
    if name.endswith(".yaml"):
        return hashlib.sha256(_UNIQUE.sub(b"nemo:", content.read())).hexdigest()
    if not name.endswith((".ckpt", ".pt")):
        return _hash(content)
    if not content.seekable():  # pragma: no cover - tarfile's members are, of files that are
        content = io.BytesIO(content.read())
    if not zipfile.is_zipfile(content):
        content.seek(0)
        return _hash(content)
    content.seek(0)
    digest = hashlib.sha256()
    with zipfile.ZipFile(content) as checkpoint:
        for each in sorted(checkpoint.namelist()):
            # The folder inside is named after the file that was saved.
            inside = each.partition("/")[2] or each
            if not f"/{inside}".endswith(_UNTOLD):
                with checkpoint.open(each) as part:
                    digest.update(f"{inside}\0{_hash(part)}\n".encode())
    return digest.hexdigest()


def _hash(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
