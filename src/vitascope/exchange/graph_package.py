"""A bioimage.io package whose network is ONNX: the network, and what its description says. Nothing is fetched."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vitascope.core.errors import ModelError
from vitascope.exchange.graph_description import Description, from_rdf
from vitascope.exchange.package_archive import AGAIN, open_package
from vitascope.io.models.archive import read_member
from vitascope.io.models.onnx_file import MAX_FILE_BYTES


def read_package(path: Path) -> tuple[bytes, Description]:
    """Return the ONNX file of a package, and what is said of it.

    Raises
    ------
    ModelError
        If it is no package, holds no ONNX, or was altered.
    """
    with open_package(path) as (archive, tree):
        held = tree["weights"]
        if "onnx" not in held:
            raise ModelError(
                f"{path.name} holds its weights as {', '.join(held) or 'nothing'}; networks are run as ONNX.",
                "Ask for ONNX, or say whose network it has (--like MODEL).",
            )
        entry = held["onnx"]
        data = read_member(archive, str(entry["source"]), MAX_FILE_BYTES)
        told = from_rdf(tree, path.name)
    if entry.get("sha256") and hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ModelError(f"The network of {path.name} was altered (SHA-256 differs).", AGAIN)
    return data, told
