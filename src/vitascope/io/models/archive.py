"""A model as one file to give away: ``<id>.vitascope``, a zip of card and weights, nothing that executes."""

from __future__ import annotations

import io
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from vitascope.core.card import WEIGHTS_SUFFIX, ModelCard
from vitascope.core.errors import ModelError, OutputError, ParameterError, describe
from vitascope.core.paths import user_models
from vitascope.io.atomic import write_bytes
from vitascope.io.models.cards import (
    MAX_CARD_BYTES,
    check_model_id,
    find_card,
    find_cards,
    find_model,
    own_models,
    read_card,
    write_card,
)
from vitascope.io.models.onnx_file import check_onnx
from vitascope.io.models.weights import MAX_BYTES, check_header, sha256_of_bytes

SUFFIX = ".vitascope"
FOREIGN = (".zip", ".onnx", ".pt", ".pth", ".safetensors")
"""Endings of files that hold a model in another form."""

MAX_EXPANSION = 100
"""How many times larger than its packed form a file may be: weights hardly shrink, cards some tenfold."""

_ASK = "Ask whoever made it for the file again; nothing was imported."


def export_model(model: str, out: Path) -> Path:
    """Write a model as one file.

    Parameters
    ----------
    model : str
        Id, or path of a card.
    out : Path
        A folder, or the file to write; never an existing file.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ParameterError
        If the file exists, or there is no such model.
    ModelError
        If the weights are not those of the card.
    """
    card, weights = find_model(model)
    path = new_file(out, f"{card.id}{SUFFIX}")
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise ModelError(f"The weights {weights.name} cannot be read: {describe(error)}.", "Check the path.") from error
    _check_weights(card, data)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        package.writestr(f"{card.id}.json", card.model_dump_json(indent=1))
        package.writestr(card.weights.file, data)
    write_bytes(path, buffer.getvalue())
    return path


def new_file(out: Path, name: str) -> Path:
    """Return the file to write: ``out``, or ``name`` in it where it is a folder.

    Raises
    ------
    ParameterError
        If the file exists.
    """
    path = out / name if out.is_dir() else out
    if path.exists():
        raise ParameterError(f"{path.name} exists already.", "Choose another name.")
    return path


def import_model(path: Path, name: str = "") -> ModelCard:
    """Add a model from one file to the user's models, as ``<id>.json`` and ``<id>.safetensors`` (or ``.onnx``).

    Only a card and the weights it names are read, whatever else the file holds and whatever names it gives.

    Parameters
    ----------
    path : Path
    name : str
        Of the new model; empty for that in the file.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If the file is no package of ours, altered, or too large.
    ParameterError
        If there is a model of this id already.
    """
    try:
        with zipfile.ZipFile(path) as package:
            card = ModelCard.from_json(read_member(package, ".json", MAX_CARD_BYTES), path.name)
            data = read_member(package, card.weights.file, MAX_BYTES)
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, NotImplementedError) as error:
        raise ModelError(f"{path.name} is no model package: {describe(error)}.", _ASK) from error
    _check_weights(card, data)
    new = name or card.id
    _check_name(new, "Rename that one if it is yours, or give this one another name (on the command line --name NAME).")
    # Under the name its card gives, the weights could replace those of another model.
    return _write(card, data, new)


def _write(card: ModelCard, data: bytes, name: str) -> ModelCard:
    """Write weights and card under a name to the user's models."""
    file = f"{name}{WEIGHTS_SUFFIX[card.weights.kind]}"
    new = card.model_copy(update={"id": name, "weights": card.weights.model_copy(update={"file": file})})
    write_bytes(own_models() / new.weights.file, data)
    write_card(new, own_models())
    return new


def _check_name(name: str, hint: str) -> None:
    """Refuse what is no name, or that of a model at hand."""
    check_model_id(name)
    if name in find_cards() or (user_models() / f"{name}.json").exists():
        raise ParameterError(f"There is a model '{name}' already.", hint)


def delete_model(model: str) -> Path:
    """Delete one of the user's models; bundled and shared ones stay.

    Returns
    -------
    Path
        Of the card that was deleted.

    Raises
    ------
    ParameterError
        If the model is not the user's.
    OutputError
        If it may not be deleted.
    """
    card, weights = find_model(model)
    path = find_card(model)
    if path.parent.resolve() != user_models().resolve():
        raise ParameterError(
            f"The model '{card.id}' is bundled or shared: it stays.", "Delete only models of your own."
        )
    try:
        path.unlink()
        if not _named_by_others(weights):
            weights.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"'{path.name}' may not be deleted: {describe(error)}.", "Close what has it open.") from error
    return path


def rename_model(model: str, name: str) -> ModelCard:
    """Give one of the user's models another name; bundled and shared ones keep theirs.

    The new card and weights are whole before the old ones go.

    Raises
    ------
    ParameterError
        If the model is not the user's, or the name is taken or no name.
    OutputError
        If the folder cannot be written.
    """
    card, weights = find_model(model)
    path = find_card(model)
    if path.parent.resolve() != user_models().resolve():
        raise ParameterError(f"The model '{card.id}' is bundled or shared: it keeps its name.", "Export a copy of it.")
    _check_name(name, "Choose another name.")
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise ModelError(f"The weights {weights.name} cannot be read: {describe(error)}.", "Check the path.") from error
    _check_weights(card, data)
    new = _write(card, data, name)
    delete_model(card.id)
    return new


def _named_by_others(weights: Path) -> bool:
    """Tell whether another card of the folder names the same file of weights."""
    for path in weights.parent.glob("*.json"):
        with suppress(ModelError):
            if read_card(path).weights.file == weights.name:
                return True
    return False


def read_member(package: zipfile.ZipFile, ending: str, most: int) -> bytes:
    """Read the one file of a zip that ends so, not larger than it may be.

    A folder around all files, as packing a folder again leaves it, is looked into; folders further down are not.

    Raises
    ------
    zipfile.BadZipFile
        If there is none, or several, or it is too large.
    """
    files = [i for i in package.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
    tops = {i.filename.split("/")[0] for i in files}
    inside = len(tops) == 1 and all("/" in i.filename for i in files)
    around = f"{tops.pop()}/" if inside else ""
    found = [i for i in files if i.filename.endswith(ending) and "/" not in i.filename.removeprefix(around)]
    if len(found) != 1:
        raise zipfile.BadZipFile(f"it holds {len(found)} files '*{ending}'")
    if found[0].file_size > min(most, MAX_EXPANSION * max(found[0].compress_size, 1024)):
        raise zipfile.BadZipFile(f"'{found[0].filename}' is too large")
    with package.open(found[0]) as member:
        data = member.read(most + 1)
    if len(data) > most:
        raise zipfile.BadZipFile(f"'{found[0].filename}' is larger than it says")
    return data


def _check_weights(card: ModelCard, data: bytes) -> None:
    if sha256_of_bytes(data) != card.weights.sha256:
        raise ModelError(f"The weights of '{card.id}' are not those of its card (SHA-256 differs).", _ASK)
    if card.weights.kind == "graph":
        check_onnx(data, card.weights.file)
    else:
        check_header(data, card.weights.file)
