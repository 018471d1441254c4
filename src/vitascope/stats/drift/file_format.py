"""A reference as one file: safetensors with its settings as JSON in the header; nothing in it can execute."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.core.errors import OutputError, ReaderError
from vitascope.stats.drift.cause import DIRECTIONS, Usual
from vitascope.stats.drift.looks import MAX_LOOKS, Looks
from vitascope.stats.drift.reference import MAX_COMPONENTS, MAX_IMAGES, MIN_IMAGES, Reference
from vitascope.stats.drift.thresholds import MAX_ERT, MAX_WINDOW, MIN_ERT, MIN_WINDOW, Thresholds

SUFFIX = ".drift"
MAX_BYTES = 200_000
_KEY = "drift"
_TYPES = {"centre": "F32", "scale": "F32", "axes": "F16", "points": "F16"}
_LOOKS = {"centre": "F32", "scale": "F32", "points": "F16"}
_PREFIX = "looks."
_ALL_TYPES = _TYPES | {_PREFIX + name: kind for name, kind in _LOOKS.items()}
FORMAT = 2
"""Files of format 1 knew nothing of how images look, and hardly noticed a lost focus."""

_ASK = "Ask for the file again from where it came from, or make the reference anew."

Name = Field(min_length=1, max_length=200)
Finite = Field(allow_inf_nan=False)


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class SavedThresholds(_Saved):
    """:class:`~vitascope.stats.drift.thresholds.Thresholds` as JSON."""

    window: int = Field(ge=MIN_WINDOW, le=MAX_WINDOW)
    ert: int = Field(ge=MIN_ERT, le=MAX_ERT)
    values: list[float] = Field(max_length=MAX_WINDOW + 1)
    spread: float = Field(ge=0)


class SavedReference(_Saved):
    """The settings of a reference as JSON; ``sha256`` covers them and the arrays."""

    format: Literal[2] = 2
    name: str = Name
    model: str = Name
    model_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    channels: list[str] = Field(max_length=100)
    widths: list[float] = Field(min_length=1, max_length=10)
    thresholds: list[SavedThresholds] = Field(max_length=100)
    usual: dict[str, tuple[float, float]] | None = None
    """Centre and spread of how the images look, of what they have."""

    look_widths: list[float] | None = Field(default=None, min_length=1, max_length=10)

    sha256: str = ""


def pack_reference(reference: Reference) -> bytes:
    """Return a reference as the bytes of a ``.drift`` file.

    Raises
    ------
    OutputError
        If they would be more than 200 kB, or a name or hash cannot be saved.
    """
    tensors = {name: np.ascontiguousarray(getattr(reference, name)) for name in _TYPES}
    if reference.looks is not None:
        tensors |= {_PREFIX + name: np.ascontiguousarray(getattr(reference.looks, name)) for name in _LOOKS}
    try:
        saved = SavedReference(
            name=reference.name,
            model=reference.model,
            model_sha256=reference.model_sha256,
            channels=list(reference.channels),
            widths=list(reference.widths),
            thresholds=[
                SavedThresholds(window=t.window, ert=t.ert, values=list(t.values), spread=t.spread)
                for t in reference.thresholds
            ],
            usual=None if reference.usual is None else _saved_usual(reference.usual),
            look_widths=None if reference.looks is None else list(reference.looks.widths),
        )
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise OutputError(
            f"The reference cannot be saved: its {where} does not fit.", "Give it a name and the hash of its model."
        ) from error
    saved.sha256 = _digest(saved, tensors)
    data: bytes = safetensors.numpy.save(tensors, metadata={_KEY: saved.model_dump_json(exclude_none=True)})
    if len(data) > MAX_BYTES:
        raise OutputError(
            f"The reference would take {len(data) / 1000:.0f} kB; {MAX_BYTES // 1000} are allowed.",
            "Save fewer thresholds, or make it of fewer images or components.",
        )
    return data


def unpack_reference(data: bytes, name: str = "The file") -> Reference:
    """Return the reference in the bytes of a ``.drift`` file, after checking all of them.

    Parameters
    ----------
    data : bytes
        Read no more than ``MAX_BYTES`` + 1 of a file that may be larger.
    name : str
        What errors call the file.

    Raises
    ------
    ReaderError
        If they are too many, no safetensors, altered, inconsistent, of an older format, or hold numbers that cannot be.
    """
    if len(data) > MAX_BYTES:
        raise ReaderError(f"{name} has more than {MAX_BYTES // 1000} kB; no reference has.", _ASK)
    text = _settings_text(data, name)
    try:
        saved = SavedReference.model_validate_json(text)
        tensors: dict[str, NDArray[Any]] = safetensors.numpy.load(data)
    except (ValidationError, safetensors.SafetensorError, ValueError) as error:
        raise ReaderError(f"{name} is no sound reference: its settings or arrays cannot be read.", _ASK) from error
    if saved.sha256 != _digest(saved, tensors):
        raise ReaderError(f"{name} is not as it was written (SHA-256 differs): it was altered.", _ASK)
    wrong = _fault(saved, tensors)
    if wrong:
        raise ReaderError(f"{name} is no sound reference: {wrong}.", _ASK)
    thresholds = tuple(Thresholds(t.window, t.ert, tuple(t.values), t.spread) for t in saved.thresholds)
    return Reference(
        name=saved.name,
        model=saved.model,
        model_sha256=saved.model_sha256,
        channels=tuple(saved.channels),
        **{name: tensors[name] for name in _TYPES},
        widths=tuple(saved.widths),
        thresholds=thresholds,
        usual=None if saved.usual is None else _read_usual(saved.usual),
        looks=None
        if saved.look_widths is None
        else Looks(**{name: tensors[_PREFIX + name] for name in _LOOKS}, widths=tuple(saved.look_widths)),
    )


def _saved_usual(usual: Usual) -> dict[str, tuple[float, float]]:
    both = zip(DIRECTIONS, usual.centre, usual.spread, strict=True)
    return {name: (centre, spread) for name, centre, spread in both if math.isfinite(centre)}


def _read_usual(saved: Mapping[str, tuple[float, float]]) -> Usual:
    nothing = (math.nan, math.nan)
    centre, spread = zip(*(saved.get(name, nothing) for name in DIRECTIONS), strict=True)
    return Usual(centre, spread)


def _settings_text(data: bytes, name: str) -> str:
    """Return the JSON of the settings, after checking that the header names nothing twice and types as expected."""
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or length > len(data) - 8:
            raise ValueError
        pairs = json.loads(data[8 : 8 + length], object_pairs_hook=list)
        header = {key: dict(value) for key, value in pairs}
        metadata = header.pop("__metadata__")
        types = {key: value["dtype"] for key, value in header.items()}
        if set(metadata) != {_KEY} or len(pairs) != len(types) + 1:
            raise ValueError
        _check_format(metadata[_KEY], name)
        if types not in (_TYPES, _ALL_TYPES):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ReaderError(f"{name} is no reference, or it was cut short.", _ASK) from error
    return str(metadata[_KEY])


def _check_format(text: str, name: str) -> None:
    """Refuse the files of other versions of vitascope, by what they say of themselves."""
    settings = json.loads(text)
    told = settings.get("format") if isinstance(settings, dict) else None
    if isinstance(told, int) and told != FORMAT:
        age = "an older" if told < FORMAT else "a newer"
        raise ReaderError(
            f"{name} is a reference of {age} version of vitascope (format {told}, {FORMAT} is read).",
            "Make the reference anew with 'vitascope drift reference'." if told < FORMAT else "Update vitascope.",
        )


def _digest(saved: SavedReference, tensors: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(saved.model_dump_json(exclude={"sha256"}, exclude_none=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _fault(saved: SavedReference, tensors: dict[str, NDArray[Any]]) -> str:
    """Say what is wrong with arrays and settings that are as they were written; empty if nothing."""
    axes, points = tensors["axes"], tensors["points"]
    if axes.ndim != 2 or points.ndim != 2 or points.shape[1] != axes.shape[1]:
        return "axes and points do not match"
    if not (MIN_IMAGES <= len(points) <= MAX_IMAGES and 1 <= axes.shape[1] <= MAX_COMPONENTS):
        return f"it has {len(points)} images and {axes.shape[1]} components"
    if any(tensors[name].shape != (len(axes),) for name in ("centre", "scale")):
        return "axes and scale do not match"
    if (_PREFIX + "points" in tensors) != (saved.look_widths is not None):
        return "how its images look is told in part only"
    if saved.look_widths is not None and not _looks_fit(tensors, len(points)):
        return "how its images look does not fit their number"
    if not all(np.isfinite(array).all() for array in tensors.values()):
        return "it holds NaN or infinity"
    scales = [array for key, array in tensors.items() if key.endswith("scale")]
    if not all((array > 0).all() for array in scales) or min(saved.widths + (saved.look_widths or [])) <= 0:
        return "a scale or width is not above 0"
    if any(name not in DIRECTIONS or spread <= 0 for name, (_, spread) in (saved.usual or {}).items()):
        return "how its images look is not told as it should be"
    if any(len(t.values) != t.window + 1 or len(points) < 2 * t.window for t in saved.thresholds):
        return "its thresholds do not fit its window"
    return ""


def _looks_fit(tensors: Mapping[str, NDArray[Any]], images: int) -> bool:
    points = tensors[_PREFIX + "points"]
    if points.ndim != 2 or len(points) != images or not 1 <= points.shape[1] <= MAX_LOOKS:
        return False
    return all(tensors[_PREFIX + part].shape == (points.shape[1],) for part in ("centre", "scale"))
