"""What is known of a foreign network before it is run: told by the user, a description, the file, or its shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vitascope.core.card import Normalisation
from vitascope.core.errors import ModelError, ParameterError, ReaderError, describe
from vitascope.core.graph_spec import check_axes
from vitascope.core.params import describe_validation
from vitascope.io.models.onnx_file import FLOATS, OnnxSummary, Port
from vitascope.io.models.yaml import read_yaml

MOST_CHANNELS_LAST = 4
"""A last side this short is that of channels, not a width."""

MOST_DEPTH = 512
"""Planes that a network can be said to take at once."""

MAX_SPEC_BYTES = 1 << 20
SPEC_KEYS = (
    "axes", "channels", "outputs", "normalise", "per", "pixel_size_um", "z_step_um", "divisor", "depth", "modality",
    "title", "licence", "credit",
)  # fmt: skip
"""What a file of ``--spec`` may say."""

PER = ("image", "plane", "field", "plate")
"""What shares a normalisation: all planes of one time, each plane alone, all planes and times of a field, or all images
of a plate."""

ELEMENTS = {
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    12: "uint32",
    16: "bfloat16",
}
"""Types of inputs that are named where they are refused."""

NORMALISE = "percentile:LOW:HIGH, zscore, zscore:LOW:HIGH, median_iqr, minmax, fixed:MEAN:SD or none"


@dataclass(frozen=True)
class Description:
    """What is known of a network; what is empty is guessed.

    Parameters
    ----------
    axes : str
        Of the input.
    channels : tuple of str
        Of the image, in the network's order.
    outputs : tuple of str
        Names of the pictures that it answers with.
    normalisation : Normalisation or None
    per : str
        What shares a normalisation, see :data:`PER`.
    pixel_size_um, z_step_um : float or None
    divisor : tuple of int or None
        (z, y, x).
    depth : int or None
        Planes that it takes at once, where its file leaves their number free.
    modality, title, licence, credit : str
    notes : tuple of str
        Sentences for the user.
    """

    axes: str = ""
    channels: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    normalisation: Normalisation | None = None
    per: str = ""
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    divisor: tuple[int, int, int] | None = None
    depth: int | None = None
    modality: str = ""
    title: str = ""
    licence: str = ""
    credit: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def normalise(self) -> str:
        """The normalisation as the command line says it; empty where none is told."""
        how = self.normalisation
        if how is None:
            return ""
        if how.method == "dataset":
            plain = set(how.means) == {0.0} and set(how.stds) == {1.0}
            pairs = ":".join(f"{mean!r}:{std!r}" for mean, std in zip(how.means, how.stds, strict=True))
            return "none" if plain else f"fixed:{pairs}"
        usual = how.method == "zscore" and (how.low, how.high) == (0, 100)
        bounded = how.method in ("percentile", "zscore") and not usual
        return f"{how.method}:{how.low:g}:{how.high:g}" if bounded else str(how.method)

    def over(self, other: Description) -> Description:
        """Return what this one says, and what the other says where this one is silent."""
        own = {k: v for k, v in vars(self).items() if v not in ("", (), None)}
        return replace(other, **{**own, "notes": (*other.notes, *self.notes)})


def parse_normalisation(text: str) -> Normalisation:
    """Read a normalisation as it is told on the command line.

    Parameters
    ----------
    text : str
        Such as ``percentile:0:100`` (all of the image to 0 … 1), ``zscore`` or ``fixed:120:30``; of several channels
        ``fixed:MEAN:SD:MEAN:SD``.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> parse_normalisation("percentile:1:99").high
    99.0
    """
    method, *given = text.strip().lower().split(":")
    try:
        values = [float(v) for v in given]
        if method in ("percentile", "zscore") and len(values) in (0, 2):
            usual = (0.1, 99.9) if method == "percentile" else (0.0, 100.0)
            low, high = values or usual
            return Normalisation.model_validate({"method": method, "low": low, "high": high})
        if method in ("median_iqr", "minmax", "background", "standard") and not values:
            return Normalisation.model_validate({"method": method})
        if (method == "fixed" and values and len(values) % 2 == 0) or (method == "none" and not values):
            means, stds = tuple(values[::2]) or (0.0,), tuple(values[1::2]) or (1.0,)
            return Normalisation.model_validate({"method": "dataset", "means": means, "stds": stds})
    except ValidationError as error:
        told = describe_validation(error).removeprefix("value: value error, ")
        raise ParameterError(f"'{text}' is no normalisation: {told}", f"{NORMALISE}.") from error
    except ValueError as error:
        raise ParameterError(f"'{text}' is no normalisation: {describe(error)}.", f"{NORMALISE}.") from error
    raise ParameterError(f"'{text}' is no normalisation.", f"{NORMALISE}.")


def read_spec(path: Path) -> Description:
    """Read what a file says of a network: our keys, or a bioimage.io description (rdf.yaml).

    Raises
    ------
    ParameterError
        If it cannot be read, or says something that there is not.
    """
    try:
        if path.stat().st_size > MAX_SPEC_BYTES:
            raise ParameterError(f"{path.name} is too large for a description.", "It is a small YAML file.")
        tree = read_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    except ReaderError as error:
        raise ParameterError(f"{path.name} cannot be read: {error.message}", "It is a small YAML file.") from error
    if not isinstance(tree, dict):
        raise ParameterError(f"{path.name} says nothing of a network.", f"It may say {', '.join(SPEC_KEYS)}.")
    if "inputs" in tree:
        return from_rdf(tree, path.name)
    return from_keys(tree, path.name)


def from_keys(tree: Mapping[str, Any], name: str) -> Description:
    """Read our own keys, see :data:`SPEC_KEYS`.

    Raises
    ------
    ParameterError
    """
    unknown = [str(k) for k in tree if k not in SPEC_KEYS]
    if unknown:
        raise ParameterError(f"{name} says '{unknown[0]}', which is not known.", f"It may say {', '.join(SPEC_KEYS)}.")
    try:
        divisor = tree.get("divisor")
        if isinstance(divisor, int):
            divisor = (1, divisor, divisor)
        found = Description(
            axes=check_axes(str(tree["axes"]).lower()) if tree.get("axes") else "",
            channels=_names(tree.get("channels")),
            outputs=_names(tree.get("outputs")),
            pixel_size_um=_positive(tree.get("pixel_size_um")),
            z_step_um=_positive(tree.get("z_step_um")),
            divisor=tuple(int(d) for d in divisor) if divisor else None,  # type: ignore[arg-type]
            depth=int(tree["depth"]) if tree.get("depth") else None,
            modality=str(tree.get("modality") or ""),
            title=str(tree.get("title") or "")[:100],
            licence=str(tree.get("licence") or ""),
            credit=str(tree.get("credit") or ""),
        )
        if found.divisor is not None and (len(found.divisor) != 3 or min(found.divisor) < 1):
            raise ValueError("divisor is one number, or three for z, y and x")
        if found.depth is not None and not 1 <= found.depth <= MOST_DEPTH:
            raise ValueError(f"depth is 1 to {MOST_DEPTH} planes")
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} cannot be used: {describe(error)}.", "See the page 'Bring a model'.") from error
    per = str(tree.get("per") or "").lower()
    if per and per not in PER:
        raise ParameterError(f"{name} says 'per: {per}', which is not known.", f"It is one of {', '.join(PER)}.")
    told = tree.get("normalise")
    return replace(found, per=per, normalisation=parse_normalisation(str(told)) if told else None)


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(str(p).strip() for p in parts if str(p).strip())


def _positive(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = float(value)
    if not 0 < number < 1e4:
        raise ValueError(f"{value} µm is no size of a pixel")
    return number


def from_metadata(summary: OnnxSummary) -> Description:
    """Read what an ONNX file says of itself under our keys; what cannot be used is left aside."""
    said = {k.lower(): v for k, v in summary.metadata.items() if k.lower() in SPEC_KEYS}
    try:
        return from_keys(said, "The file")
    except ParameterError:
        return Description()


def from_rdf(tree: Mapping[str, Any], name: str) -> Description:
    """Read a bioimage.io description, formats 0.4 and 0.5.

    Raises
    ------
    ParameterError
        If it is none, or has several inputs.
    """
    try:
        inputs, outputs = list(tree["inputs"]), list(tree["outputs"])
        if len(inputs) != 1:
            raise ParameterError(f"{name} describes {len(inputs)} inputs.", "Networks with one input are run.")
        axes, channels, steps = _rdf_axes(inputs[0])
        names = tuple(n for output in outputs for n in _rdf_outputs(output))
        normalisation, notes = _rdf_steps(inputs[0].get("preprocessing") or [])
        if any(output.get("postprocessing") for output in outputs):
            notes.append(
                "Its description has steps after the network; they are not applied: answers are the graph's own."
            )
        return Description(
            axes=check_axes(axes),
            channels=channels,
            outputs=names,
            normalisation=normalisation,
            pixel_size_um=_rdf_pixel(inputs[0]),
            divisor=steps,
            title=str(tree.get("name") or "")[:100],
            licence=str(tree.get("license") or ""),
            credit=str((tree.get("cite") or [{}])[0].get("text") or "")[:500],
            notes=tuple(notes),
        )
    except (KeyError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise ParameterError(
            f"{name} is no description of bioimage.io: {describe(error)}.", "Check the file."
        ) from error


def _rdf_axes(tensor: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[int, int, int] | None]:
    axes = tensor["axes"]
    if isinstance(axes, str):  # format 0.4
        shape = tensor.get("shape")
        step = dict(zip(axes, shape["step"], strict=False)) if isinstance(shape, dict) else {}
        steps = tuple(max(1, int(step.get(a, 1))) for a in "zyx") if step else None
        return axes.replace("i", "b"), (), steps  # type: ignore[return-value]
    letters = "".join(_letter(a) for a in axes)
    channels: tuple[str, ...] = ()
    found: dict[str, int] = {}
    for letter, axis in zip(letters, axes, strict=True):
        if letter == "c":
            channels = tuple(str(n) for n in axis.get("channel_names", ()))
        size = axis.get("size")
        if isinstance(size, dict) and "step" in size:
            found[letter] = max(1, int(size["step"]))
    return letters, channels, tuple(found.get(a, 1) for a in "zyx") if found else None  # type: ignore[return-value]


def _letter(axis: Mapping[str, Any]) -> str:
    told = {"batch": "b", "channel": "c"}.get(str(axis.get("type")))
    return told or str(axis.get("id", "?"))[0]


def _rdf_outputs(tensor: Mapping[str, Any]) -> tuple[str, ...]:
    axes = tensor["axes"]
    if not isinstance(axes, str):
        for axis in axes:
            if _letter(axis) == "c":
                return tuple(str(n) for n in axis.get("channel_names", ()))
        return (str(tensor["id"]),) if tensor.get("id") else ()
    return ()


def _rdf_pixel(tensor: Mapping[str, Any]) -> float | None:
    axes = tensor["axes"]
    for axis in () if isinstance(axes, str) else axes:
        if _letter(axis) == "x" and axis.get("unit") == "micrometer":
            return _positive(axis.get("scale"))
    return None


def _rdf_steps(steps: Sequence[Mapping[str, Any]]) -> tuple[Normalisation | None, list[str]]:
    """Translate preprocessing into a normalisation of ours; what cannot be is said."""
    found: Normalisation | None = None
    notes: list[str] = []
    for step in steps:
        kind, values = str(step.get("id") or step.get("name")), dict(step.get("kwargs") or {})
        if kind in ("ensure_dtype",):
            continue
        made = _rdf_step(kind, values)
        if made is None or found is not None:
            notes.append(f"The step '{kind[:40]}' of its description is not known here and left out.")
        else:
            found = made
    return found, notes


def _rdf_step(kind: str, values: Mapping[str, Any]) -> Normalisation | None:
    if kind == "scale_range":
        low, high = float(values.get("min_percentile", 0)), float(values.get("max_percentile", 100))
        return Normalisation(method="percentile", low=low, high=high)
    if kind == "fixed_zero_mean_unit_variance" or values.get("mode") == "fixed":
        mean, std = (
            [float(one) for one in (v if isinstance(v, list) else [v])] for v in (values["mean"], values["std"])
        )
        return Normalisation(method="dataset", means=tuple(mean), stds=tuple(std))
    if kind == "zero_mean_unit_variance":
        return Normalisation(method="zscore", low=0, high=100)
    if kind == "scale_linear":
        gains, offsets = (v if isinstance(v, list) else [v] for v in (values.get("gain", 1), values.get("offset", 0)))
        if all(float(g) > 0 for g in gains) and len(gains) == len(offsets):
            means = tuple(-float(o) / float(g) for g, o in zip(gains, offsets, strict=True))
            return Normalisation(method="dataset", means=means, stds=tuple(1 / float(g) for g in gains))
    return None


def guess_axes(port: Port, told: Description, name: str) -> tuple[str, list[str]]:
    """Return the axes of an input by its declared sides, and what is to be said of the guess.

    Raises
    ------
    ModelError
        If it is no input for a picture.
    """
    sides = port.sides
    if port.element not in FLOATS:
        raise ModelError(
            f"{name} takes {ELEMENTS.get(port.element, 'other things')}; pictures are given as numbers with fractions.",
            "Export the network for float32 (in PyTorch: with an example that is float32).",
        )
    if told.axes:
        if sides and len(told.axes) != len(sides):
            raise ModelError(
                f"The axes {told.axes} are {len(told.axes)}, the input '{port.name}' has {len(sides)}.",
                "Put the axes right (axes in --spec).",
            )
        return told.axes, []
    notes: list[str] = []
    if len(sides) in (4, 5):
        last, second = sides[-1], sides[1]
        channels_last = last is not None and last <= MOST_CHANNELS_LAST and (second is None or second > last)
        across = "zyx"[5 - len(sides) :]
        axes = f"b{across}c" if channels_last else f"bc{across}"
        count = last if channels_last else second
        if len(sides) == 4 and count is not None and count > 1 and not told.channels:
            notes.append(
                f"Its {count} channels are taken for channels of the image; for planes say axes: bzyx (--spec)."
            )
    elif len(sides) in (2, 3):
        axes = "yx" if len(sides) == 2 else "cyx"
    else:
        raise ModelError(
            f"The input '{port.name}' of {name} has {len(sides)} axes: it is none for a picture.",
            "Only networks from picture to picture are run.",
        )
    return axes, notes
