"""What all bioimage.io packages of ours are made of: names, arrays, and the zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vitascope.io.atomic import write_bytes

FORMAT = "0.5.3"
CARD = "vitascope-card.json"
ONNX = "weights.onnx"


def npy(array: NDArray[Any]) -> bytes:
    """Return an array as the bytes of a file of numpy."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def identifiers(names: list[str]) -> list[str]:
    """Return names as the format takes them.

    Examples
    --------
    >>> identifiers(["bright-field", ""])
    ['bright_field', 'channel']
    """
    return ["".join(c if c.isalnum() else "_" for c in name) or "channel" for name in names]


def plain_text(text: str) -> str:
    """Return a text without signs that the format's names do not take."""
    return "".join(c if c.isalnum() or c in "_+- ()" else " " for c in text).strip()


def write_package(path: Path, files: Mapping[str, bytes], description: Mapping[str, Any]) -> None:
    """Write files and their description (``rdf.yaml``) as one zip."""
    told = yaml.safe_dump(dict(description), sort_keys=False, allow_unicode=True).encode()
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, "rdf.yaml": told}.items():
            archive.writestr(name, data)
    write_bytes(path, package.getvalue())
