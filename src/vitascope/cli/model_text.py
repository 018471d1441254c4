"""What the command line says of a model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vitascope.core.errors import ParameterError
from vitascope.core.formatting import is_number, number_text
from vitascope.core.paths import BUNDLED_MODELS, RECIPE, training_folder

if TYPE_CHECKING:
    from vitascope.core.card import ModelCard


def domain_text(card: ModelCard) -> str:
    """Say what a fitted domain tells."""
    assert card.domain is not None
    told = f"Images are judged by {card.domain.crops} crops of {card.domain.crop_px} px."
    if card.expected is None:
        return f"{told} Which agreement with a real stain to expect is not known (--stain)."
    how = card.expected
    value = math.tanh(how.intercept)
    return (
        f"{told} Of images that fit, a PCC of {value:.2f} ({value + how.low_by:.2f} to {value + how.high_by:.2f}) is "
        "expected."
    )


def comparison_text(figure: dict[Any, Any], first: str, second: str) -> str:
    """Write a figure of two models with intervals, where there are, and their difference.

    Examples
    --------
    >>> ends = {"first_low": None, "first_high": None, "second_low": 0.9, "second_high": 0.98}
    >>> comparison_text({"first": 0.87, "second": 0.9626, "difference": 0.0926, "n": 6, **ends}, "old", "new")
    'old 0.87, new 0.963 (0.9 to 0.98), difference +0.0926, n = 6'
    """
    told = []
    for model, which in ((first, "first"), (second, "second")):
        low, high = figure[f"{which}_low"], figure[f"{which}_high"]
        interval = f" ({number_text(low)} to {number_text(high)})" if is_number(low) and is_number(high) else ""
        told.append(f"{model} {number_text(figure[which])}{interval}")
    sign = "+" if figure["difference"] > 0 else ""
    told.append(f"difference {sign}{number_text(figure['difference'])}")
    if is_number(figure["n"]):
        told.append(f"n = {figure['n']:.0f}")
    return ", ".join(told)


def recipe_text(card: ModelCard) -> str:
    """Return the recipe of a bundled model, or of one that was trained in the dock.

    Raises
    ------
    ParameterError
        If it is not at hand.
    """
    for path in (BUNDLED_MODELS / "recipes" / f"{card.id}.yaml", training_folder(card.id) / RECIPE):
        if path.is_file():
            return path.read_text("utf-8").rstrip()
    raise ParameterError(f"The recipe of '{card.id}' is not at hand.", "Those of the bundled models are.")


def network_text(card: ModelCard) -> str:
    """Say which network a model has."""
    size = f"{card.weights.parameters:,} weights"
    if card.graph is None:
        return f"Network: {card.architecture.name} {card.architecture.arguments}, {size}"
    sees = (
        f"{max(card.graph.reach)} px at most"
        if card.graph.reach is not None
        else "the whole window (not exact in tiles)"
    )
    return (
        f"Network: of another program, run as it is (ONNX {card.graph.opset}, {card.graph.axes}), {size}; sees {sees}"
    )


def describe(card: ModelCard) -> str:
    """Return a card as text for people."""
    spec = card.input
    pixel = f"{spec.pixel_size_um:g} µm" if spec.pixel_size_um else f"unknown {spec.pixel_size_note}".strip()
    lines = [
        f"{card.id} (version {card.version}): {card.title}",
        card.summary,
        "",
        f"When not to trust it: {card.limitations}",
        "",
        f"Task: {card.task}",
        f"Takes: {spec.modality}, {spec.planes} plane(s) of {', '.join(spec.channels)}; pixel size {pixel}",
        f"Gives: {', '.join(f'{t.name} ({t.unit})' for t in card.targets)}",
        network_text(card),
        f"Split: {card.split}",
    ]
    for metric in card.metrics:
        interval = f" ({metric.low:g} to {metric.high:g})" if metric.low is not None else ""
        twin = " - measured on the twin trained without the test part" if metric.from_holdout_model else ""
        lines.append(f"Accuracy: {metric.name} {metric.value:g}{interval} {metric.unit}, {metric.on}{twin}")
    for source in card.data:
        lines.append(f"Data: {source.name}, {source.licence}, {source.url}. {source.credit}")
    lines += [f"Licence: {card.licence}. {card.credit}", f"SHA-256: {card.weights.sha256}"]
    if card.int8 is not None:
        lines.append(card.int8.text)
    if card.parent:
        lines.append(f"Fine-tuned from: {card.parent}")
    lines += [f"Note: {note}" for note in card.training.get("notes", [])]
    return "\n".join(lines)
