"""Make a model of a network of another program, to be run as it is: looked through, tried, measured, described."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from vitascope.core.card import Architecture, InputSpec, ModelCard, Normalisation, Target, Weights
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.graph_spec import GraphOutput, GraphSpec
from vitascope.core.late_import import import_late
from vitascope.core.versions import versions
from vitascope.engine.graphs.measure import GraphQuestion
from vitascope.engine.graphs.trial import Found, remember, try_graph
from vitascope.engine.load_model import GRAPH
from vitascope.exchange.graph_description import (
    Description,
    from_keys,
    from_metadata,
    guess_axes,
    parse_normalisation,
    read_spec,
)
from vitascope.exchange.graph_package import read_package
from vitascope.exchange.graph_try import try_on
from vitascope.io.atomic import write_bytes
from vitascope.io.models.cards import check_model_id, find_cards, find_model, own_models, write_card
from vitascope.io.models.onnx_file import FLOATS, OnnxSummary, Port, check_onnx, read_onnx_bytes
from vitascope.io.models.weights import sha256_of_bytes
from vitascope.tasks.graph_guess import Guess
from vitascope.tasks.registry import TASKS, find_task

UNIT = "network output"
"""Of what a network answers with, unscaled."""

__all__ = ["guess", "import_graph", "name_outputs", "parse_normalisation", "try_on"]

CHECKPOINTS = (".pt", ".pth", ".p", ".ckpt")
"""Endings of files of weights: those of fnet are known by their names."""

USUAL = Normalisation(method="zscore", low=0, high=100)
"""What is taken where nothing tells: mean 0 and standard deviation 1, the commonest."""


def import_graph(
    path: Path,
    task: str,
    name: str = "",
    *,
    spec: Path | None = None,
    outputs: str = "",
    normalise: str = "",
    pixel_size_um: float | None = None,
    planes_for_channels: bool = False,
    answers: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Add a network that is run as it is to the user's models; nothing is asked.

    Parameters
    ----------
    path : Path
        An ONNX file, a bioimage.io package (``.zip``) that holds one, or a checkpoint of fnet (``.pt``, ``.p``).
    task : str
        That runs it.
    name : str
        Of the new model; empty for that of the file.
    spec : Path, optional
        YAML of :data:`vitascope.exchange.graph_description.SPEC_KEYS`, or a bioimage.io ``rdf.yaml``.
    outputs : str
        Names of the pictures that it answers with, in its order, by commas.
    normalise : str
        See :func:`vitascope.exchange.graph_description.parse_normalisation`.
    pixel_size_um : float, optional
        Of the images it was trained on; without it images are never rescaled.
    planes_for_channels : bool
        Whether several channels are guessed to be planes of a stack.
    answers : mapping, optional
        What was answered to questions: the same keys as in ``spec``, before which they go.

    Returns
    -------
    ModelCard
        Version 2, written beside the network. Its ``training["notes"]`` tell what was guessed.

    Raises
    ------
    ModelError
        If the network is refused, cannot be run, or answers with no picture.
    ParameterError
        If something given cannot be used, or there is a model of this name.
    """
    check_task(task)
    name = name or file_name(path)
    check_model_id(name)
    if name in find_cards():
        raise ParameterError(f"There is a model '{name}' already.", "Give another name (--name NAME).")
    data, summary, said = look(path)
    told = read_spec(spec) if spec is not None else Description()
    told = from_keys(answers or {}, "The answer").over(told).over(said)
    told = replace(told, outputs=tuple(o.strip() for o in outputs.split(",") if o.strip()) or told.outputs)
    if normalise:
        told = replace(told, normalisation=parse_normalisation(normalise))
    if pixel_size_um is not None:
        if not 0 < pixel_size_um < 1e4:
            raise ParameterError(f"{pixel_size_um:g} µm is no size of a pixel.", "Give µm per pixel, or leave it out.")
        told = replace(told, pixel_size_um=pixel_size_um)
    question, channels, notes = ask(summary, told, path.name, planes_for_channels=planes_for_channels)
    found = try_graph(data, path.name, question)
    graph = graph_spec(summary, question, found)
    card = describe(path, data, summary, task, name, told, channels, graph, notes)
    write_bytes(own_models() / card.weights.file, data)
    try:
        write_card(card, own_models())
    except BaseException:
        (own_models() / card.weights.file).unlink(missing_ok=True)
        raise
    remember(data, graph)
    return card


def look(path: Path) -> tuple[bytes, OnnxSummary, Description]:
    """Read a network and what file or package say of it, opening it with no library.

    Raises
    ------
    ModelError
        If it is refused.
    """
    if path.suffix.lower() == ".zip":
        data, packed = read_package(path)
    elif path.suffix.lower() in CHECKPOINTS:  # needs torch
        data, told = import_late("vitascope.exchange.fnet_checkpoint", ModuleType).translate_checkpoint(path)
        packed = Description(notes=(told,))
    else:
        data, packed = read_onnx_bytes(path), Description()
    summary = check_onnx(data, path.name)
    return data, summary, packed.over(from_metadata(summary))


def guess(path: Path, *, planes_for_channels: bool = False) -> Guess:
    """Return what is to be confirmed before a network is tried.

    Raises
    ------
    ModelError
        If it is refused, or takes no single picture.
    """
    _, summary, said = look(path)
    question, channels, notes = ask(summary, said, path.name, planes_for_channels=planes_for_channels)
    port = summary.inputs[0]
    pictures = [o for o in summary.outputs if _can_be_picture(o, question)] or summary.outputs
    names = said.outputs or tuple(
        name for output in pictures for name in _numbered(output.name, _channels_of(output, question.axes))
    )
    how = said.normalisation
    return Guess(
        axes=question.axes,
        sides=" × ".join("any" if n is None else str(n) for n in port.sides),
        channels=channels,
        outputs=names,
        normalise=said.normalise,
        per=said.per or (how.per if how is not None else "image"),
        pixel_size_um=said.pixel_size_um,
        divisor=max(said.divisor[1:]) if said.divisor is not None else None,
        depth=question.sides[0] if "z" in question.axes else None,
        notes=tuple(notes),
    )


def _can_be_picture(output: Port, question: GraphQuestion) -> bool:
    """Tell whether an output may have height and width of the input, by what it declares."""
    across = question.sides[1:]
    return output.element in FLOATS and sum(n is None or n in across for n in output.sides) >= 2


def _channels_of(output: Port, axes: str) -> int:
    """Return how many pictures an output holds, by its declared sides: those of channels, where it has as many axes."""
    letters = axes if len(output.sides) == len(axes) else "bcyx"
    if "c" not in letters and len(output.sides) == 4:
        letters = "bcyx"
    sides = dict(zip(letters, output.sides, strict=False))
    return sides.get("c") or 1


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name}_{k + 1}" for k in range(count))


def name_outputs(model: str, names: Sequence[str]) -> ModelCard:
    """Give the pictures that a network answers with other names, in its order.

    Raises
    ------
    ParameterError
        If names are empty or alike, or as many are not given as there are pictures.
    """
    card, _ = find_model(model)
    given = [name.strip() for name in names]
    if len(given) != len(card.targets) or not all(given) or len({n.lower() for n in given}) < len(given):
        raise ParameterError(f"{', '.join(given)} are no names for {len(card.targets)} picture(s).", "Name each once.")
    targets = tuple(t.model_copy(update={"name": n}) for t, n in zip(card.targets, given, strict=True))
    made = card.model_copy(update={"targets": targets})
    write_card(made, own_models())
    return made


def check_task(task: str) -> None:
    """Refuse a task that runs no networks of other programs.

    Raises
    ------
    ParameterError
    """
    if not find_task(task).runs_graphs:
        known = ", ".join(spec.name for spec in TASKS if spec.runs_graphs)
        raise ParameterError(f"The task '{task}' runs no networks of other programs.", f"These do: {known}.")


def file_name(path: Path) -> str:
    """Return a name for a model after its file.

    Examples
    --------
    >>> file_name(Path("VSCyto2D (final).onnx"))
    'vscyto2d-final'
    """
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.stem.lower())
    return "-".join(part for part in kept.split("-") if part)[:58]


def ask(
    summary: OnnxSummary, told: Description, name: str, *, planes_for_channels: bool = False
) -> tuple[GraphQuestion, tuple[str, ...], list[str]]:
    """Put together what is to be tried: the input, its axes and sides.

    Returns
    -------
    tuple of GraphQuestion, tuple of str, list of str
        With the names of the channels, and what is to be said of guesses.

    Raises
    ------
    ModelError
        If the network has another number of inputs than one, or takes several pictures at once.
    """
    if len(summary.inputs) != 1:
        raise ModelError(
            f"{name} has {len(summary.inputs)} inputs; networks with one are run.",
            "Export it with one picture as input.",
        )
    port = summary.inputs[0]
    axes, notes = guess_axes(port, told, name)
    sides = dict(zip(axes, port.sides, strict=True)) if port.sides else {}
    if planes_for_channels and not told.axes and "z" not in axes and (sides.get("c") or 1) > 1:
        axes, notes = axes.replace("c", "z"), ["Its channels are taken for planes of a stack, as the image has them."]
        sides = dict(zip(axes, port.sides, strict=True))
    if (sides.get("b") or 1) != 1:
        raise ModelError(f"{name} takes {sides['b']} pictures at once; one is run.", "Export it for a batch of one.")
    count = sides.get("c") or len(told.channels) or 1
    channels = told.channels or (("image",) if count == 1 else tuple(f"channel {n + 1}" for n in range(count)))
    if len(channels) != count:
        raise ParameterError(
            f"{len(channels)} channel(s) are named ({', '.join(channels)}); the network takes {count}.",
            "Put the channels right (channels in --spec).",
        )
    if told.depth and ("z" not in axes or sides.get("z") not in (None, told.depth)):
        raise ParameterError(
            f"{name} takes {sides.get('z') or 1} plane(s) at once, not {told.depth}.", "Leave the depth out."
        )
    depth = sides.get("z") or told.depth if "z" in axes else 1
    fixed = (depth, sides.get("y"), sides.get("x"))
    question = GraphQuestion(
        name=port.name, axes=axes, channels=count, sides=fixed, dtype=FLOATS[port.element], divisor=told.divisor
    )
    return question, channels, notes


def graph_spec(summary: OnnxSummary, question: GraphQuestion, found: Found) -> GraphSpec:
    """Return what the card says of how the graph is run."""
    return GraphSpec(
        opset=summary.opset,
        input=question.name,
        axes=question.axes,
        outputs=found.outputs,
        dtype=question.dtype,
        sides=(found.depth, *question.sides[1:]),
        divisor=found.divisor,
        step=found.step,
        reach=found.reach,
        bytes_per_px=round(found.bytes_per_px, 1),
    )


def describe(
    path: Path,
    data: bytes,
    summary: OnnxSummary,
    task: str,
    name: str,
    told: Description,
    channels: tuple[str, ...],
    graph: GraphSpec,
    notes: list[str],
) -> ModelCard:
    """Return the card of a graph that was tried.

    Raises
    ------
    ParameterError
        If it is given another number of names than it has pictures.
    """
    names = told.outputs or default_names(graph.outputs)
    if len(names) != graph.channels:
        given = ", ".join(f"{o.name} ({o.channels})" for o in graph.outputs)
        raise ParameterError(
            f"{len(names)} output(s) are named; the network answers with {graph.channels} picture(s): {given}.",
            "Name each (--outputs a,b), in the network's order.",
        )
    if len({n.lower() for n in names}) < len(names):
        raise ParameterError("Two outputs have the same name.", "Name each differently (--outputs a,b).")
    how = told.normalisation or USUAL
    how = how.model_copy(update={"per": told.per or how.per})
    if (how.method, how.per) == ("dataset", "plate"):
        raise ParameterError(
            "Fixed numbers are the same for each image: there is nothing that a plate could share.",
            "Leave out what shares the normalisation (--per), or name another one (--normalise).",
        )
    if how.method == "dataset" and len(how.means) == 1 < len(channels):
        how = how.model_copy(update={"means": how.means * len(channels), "stds": how.stds * len(channels)})
    if how.method == "dataset" and len(how.means) != len(channels):
        raise ParameterError(
            f"The normalisation has numbers for {len(how.means)} channels; the network takes {len(channels)}.",
            "Give one mean and standard deviation for all, or those of each channel.",
        )
    guesses = [] if told.normalisation else ["How images were normalised is not known: mean 0, standard deviation 1."]
    if told.pixel_size_um is None:
        guesses.append("Its pixel size is not known: images are never rescaled.")
    if None not in graph.sides[1:]:
        edges = "it takes one size: smaller pictures are padded, larger ones cut, which is not exact"
    elif graph.reach:
        edges = "tiles overlap by what it can see"
    else:
        edges = "it sees the whole window: cut, it is not exact"
    planes = f" ({graph.sides[0]} planes at once)" if graph.has_depth and graph.sides[0] else ""
    sha256 = sha256_of_bytes(data)
    title = told.title or f"Network of {path.name}"
    return ModelCard(
        card_version=2,
        id=name,
        task=task,
        title=title,
        summary=f"Network from {path.name}, run as it is; nothing was measured",
        architecture=Architecture(name=GRAPH),
        input=InputSpec(
            modality=told.modality or "not known",
            channels=channels,
            pixel_size_um=told.pixel_size_um,
            z_step_um=told.z_step_um,
            normalisation=how,
        ),
        targets=tuple(Target(name=n, unit=UNIT) for n in names),
        data=(),
        split="not known",
        limitations="It was not measured here: compare it with a real stain.",
        licence=told.licence or "of whoever made the network",
        credit=told.credit,
        weights=Weights(
            kind="graph", file=f"{name}.onnx", sha256=sha256, dtype="float32", parameters=summary.parameters
        ),
        graph=graph,
        training={
            "imported_from": {"file": path.name, "sha256": sha256, "producer": summary.producer},
            "notes": [
                f"Imported from {path.name} (SHA-256 {sha256}). No figure was measured here.",
                f"It takes {graph.axes}{planes} and gives {', '.join(names)}; {edges}.",
                *notes,
                *_left_aside(summary, graph),
                *told.notes,
                *guesses,
            ],
        },
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=dict(versions()),
    )


def _left_aside(summary: OnnxSummary, graph: GraphSpec) -> list[str]:
    """Say which outputs are no pictures, or none of the input's size."""
    taken = {output.name for output in graph.outputs}
    others = [port.name for port in summary.outputs if port.name not in taken]
    return [f"Left aside, as no pictures of the size of its input: {', '.join(others)[:200]}."] if others else []


def default_names(outputs: tuple[GraphOutput, ...]) -> tuple[str, ...]:
    """Name pictures after the outputs that hold them, and number those of one."""
    return tuple(name for output in outputs for name in _numbered(output.name, output.channels))
