"""Where vitascope keeps things on this machine, and where it looks for them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).parent.parent
BUNDLED_MODELS = PACKAGE / "zoo"
SAMPLES = PACKAGE / "samples"

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?=[^/])")
"""How an address begins; a path that was made of one has a single slash. Drives of Windows have one letter."""

RECIPE = "recipe.yaml"
"""File in the folder of a training run that says how the model is made."""


def is_url(path: str | os.PathLike[str]) -> bool:
    """Tell whether something is an address rather than a path.

    Examples
    --------
    >>> [is_url(one) for one in ("s3://screens/plate7", Path("s3://screens/a.tif"), "plates/s3", "C:/plates")]
    [True, True, False, False]
    """
    return isinstance(path, (str, os.PathLike)) and URL.match(os.fspath(path)) is not None


def user_models() -> Path:
    """Folder of the user's own models: ``VITASCOPE_MODELS`` (first entry), or the platform's data folder."""
    listed = os.environ.get("VITASCOPE_MODELS", "").split(os.pathsep)
    return Path(listed[0]) if listed[0] else Path(platformdirs.user_data_dir("vitascope", False)) / "models"


def user_references() -> Path:
    """Folder of the drift references that this user registered by name, and of what was tested against them."""
    return user_models() / "references"


def user_settings(task: str) -> Path:
    """Folder of the named settings that this user keeps for a task."""
    return user_models() / "settings" / task


def training_folder(name: str) -> Path:
    """Folder of a training run that was set up in a dock: its recipe and its data."""
    return user_models() / "training" / name


def training_recipes() -> list[Path]:
    """List the recipes of the training runs that were set up."""
    return sorted(training_folder("").glob(f"*/{RECIPE}"))


def run_records() -> Path:
    """File of the records of all training runs."""
    return user_models() / "runs.sqlite"


def shared_models() -> list[Path]:
    """Read-only folders of a lab: the further entries of ``VITASCOPE_MODELS``."""
    return [Path(p) for p in os.environ.get("VITASCOPE_MODELS", "").split(os.pathsep)[1:] if p]


def cache() -> Path:
    """Folder of what can be made again, such as the measured speed of this machine."""
    return Path(os.environ.get("VITASCOPE_CACHE") or platformdirs.user_cache_dir("vitascope", False))


def sessions() -> Path:
    """Folder of what docks keep for "Reopen last results": ``VITASCOPE_SESSIONS``, or the platform's state folder."""
    return Path(
        os.environ.get("VITASCOPE_SESSIONS") or Path(platformdirs.user_state_dir("vitascope", False)) / "sessions"
    )


def servers_file() -> Path:
    """File of the servers that docks run on, with their tokens: ``VITASCOPE_SERVERS``, or the platform's settings."""
    return Path(
        os.environ.get("VITASCOPE_SERVERS") or Path(platformdirs.user_config_dir("vitascope", False)) / "servers.json"
    )


def training_data() -> Path | None:
    """Folder that recipes find their data under: ``VITASCOPE_DATA``, or None."""
    listed = os.environ.get("VITASCOPE_DATA")
    return Path(listed) if listed else None
