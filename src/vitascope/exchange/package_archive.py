"""A bioimage.io package as a file: its archive and description, or one sentence that says why it is none."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitascope.core.errors import ModelError, ReaderError, describe
from vitascope.io.models.archive import read_member
from vitascope.io.models.cards import MAX_CARD_BYTES
from vitascope.io.models.yaml import read_yaml

AGAIN = "Ask for the file again."
NO_PACKAGE = (
    *(OSError, zipfile.BadZipFile, zlib.error, LookupError, TypeError, ValueError),
    *(RuntimeError, AttributeError, NotImplementedError),  # packed in an odd way, or no mapping
)


@contextmanager
def open_package(path: Path) -> Iterator[tuple[zipfile.ZipFile, Any]]:
    """Give the archive of a package and its ``rdf.yaml``, and say in a sentence whatever is wrong with either.

    Raises
    ------
    ModelError
        If it is no package, or what is read from it inside is not what a package holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, read_yaml(read_member(archive, "rdf.yaml", MAX_CARD_BYTES).decode())
    except ReaderError as error:
        raise ModelError(
            f"{path.name} is no bioimage.io package: its description cannot be read. {error.message}", AGAIN
        ) from error
    except NO_PACKAGE as error:
        raise ModelError(f"{path.name} is no bioimage.io package: {describe(error)}.", AGAIN) from error
