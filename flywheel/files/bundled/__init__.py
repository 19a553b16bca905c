"""Files that ship with the package: the starter seed, the sentences around it and the tiny base model."""

from pathlib import Path

__all__ = ["path"]


def path(name: str) -> Path:
    """Where the bundled file `name` lies, e.g. ``path("starter_seed.csv")``.

    Raises:
        FileNotFoundError: the package holds no such file; the message lists those it holds.
    """
    folder = Path(__file__).parent
    found = folder / name
    if not found.is_file():
        names = ", ".join(sorted(file.name for file in folder.iterdir() if file.suffix not in (".py", "")))
        raise FileNotFoundError(f"{found}: not bundled; bundled files: {names}")
    return found
