"""A bioimage.io package whose network is ONNX: the network, and what its description says. Nothing is fetched."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path

from vitascope.core.errors import ModelError, ReaderError, describe
from vitascope.exchange.graph_description import Description, from_rdf
from vitascope.io.models.archive import read_member
from vitascope.io.models.cards import MAX_CARD_BYTES
from vitascope.io.models.onnx_file import MAX_FILE_BYTES
from vitascope.io.models.yaml import read_yaml

AGAIN = "Ask for the file again."


def read_package(path: Path) -> tuple[bytes, Description]:
    """Return the ONNX file of a package, and what is said of it.

    Raises
    ------
    ModelError
        If it is no package, holds no ONNX, or was altered.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            tree = read_yaml(read_member(archive, "rdf.yaml", MAX_CARD_BYTES).decode())
            held = tree["weights"]
            if "onnx" not in held:
                raise ModelError(
                    f"{path.name} holds its weights as {', '.join(held) or 'nothing'}; networks are run as ONNX.",
                    "Ask for ONNX, or say whose network it has (--like MODEL).",
                )
            entry = held["onnx"]
            data = read_member(archive, str(entry["source"]), MAX_FILE_BYTES)
            told = from_rdf(tree, path.name)
    except ReaderError as error:
        raise ModelError(f"The description in {path.name} cannot be read. {error.message}", AGAIN) from error
    except (OSError, zipfile.BadZipFile, zlib.error, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path.name} is no bioimage.io package: {describe(error)}.", AGAIN) from error
    except (RuntimeError, AttributeError, NotImplementedError) as error:  # packed in an odd way, or no mapping
        raise ModelError(f"{path.name} is no bioimage.io package: {describe(error)}.", AGAIN) from error
    if entry.get("sha256") and hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ModelError(f"The network of {path.name} was altered (SHA-256 differs).", AGAIN)
    return data, told
