"""From an asset's page in the UI to its code: in the checkout, or where the code is published."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import dagster as dg

from flywheel.errors import FlywheelError

CODE_URL = "FLYWHEEL_CODE_URL"
"""The variable that says where the root of the code can be read, e.g. `https://host/owner/name/tree/main`."""

_ROOT = Path(__file__).parents[1]
_KEY = "dagster/code_references"


def with_code_links(assets: Sequence[dg.AssetsDefinition]) -> Sequence[dg.AssetsDefinition]:
    """The same assets, each with a link to the function that makes it.

    The link is below `FLYWHEEL_CODE_URL` where that is set; else it opens the file of a checkout in the reader's
    editor. An installed package without that variable gets none: nobody has its files where it has them.

    Raises:
        FlywheelError: the variable is no address that can be shown.
    """
    url = _published_at()
    if url is None and not (_ROOT / "pyproject.toml").is_file():
        return assets
    with warnings.catch_warnings():
        # Dagster calls code references beta.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        linked = cast(Sequence[dg.AssetsDefinition], dg.with_source_code_references(assets))
        return linked if url is None else [_published(each, url) for each in linked]


def _published_at() -> str | None:
    url = os.environ.get(CODE_URL, "").strip().rstrip("/")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "#" in url:
        # What stands there is not repeated: it may hold a password.
        raise FlywheelError(
            f"{CODE_URL} is no address of a folder of code; allowed: http:// or https://, a host and a path, "
            "without a user or password, e.g. https://host/owner/name/tree/main. To do: correct it, or unset it"
        )
    return url


def _published(asset: dg.AssetsDefinition, url: str) -> dg.AssetsDefinition:
    """The asset with links below `url` in place of local ones."""

    def moved(spec: dg.AssetSpec) -> dg.AssetSpec:
        references = dg.CodeReferencesMetadataValue(
            code_references=[
                dg.UrlCodeReference(
                    url=f"{url}/{Path(each.file_path).relative_to(_ROOT).as_posix()}#L{each.line_number}"
                )
                for each in spec.metadata[_KEY].code_references
            ]
        )
        return spec.replace_attributes(metadata={**spec.metadata, _KEY: references})

    return asset.map_asset_specs(moved)
