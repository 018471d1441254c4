"""Networks of other programs as bioimage.io packages: their ONNX, and what the card says in the words of the format."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError
from vitascope.core.graph_spec import GraphOutput, GraphSpec
from vitascope.engine.graphs.network import GraphNetwork
from vitascope.engine.graphs.trial import make_sure
from vitascope.exchange.bioimageio_package import CARD, FORMAT, ONNX, identifiers, npy, plain_text, write_package
from vitascope.exchange.bioimageio_preprocessing import EPS, apply_steps
from vitascope.io.models.archive import new_file
from vitascope.io.models.onnx_file import OnnxSummary, check_onnx, read_onnx_bytes
from vitascope.io.models.onnx_outputs import with_outputs

TEST_PX, TEST_PLANES = 64, 8
"""Of the test picture, at least; in pixels of the network."""

LICENCES = ("CC-BY-4.0", "CC0-1.0", "MIT", "BSD-3-Clause", "BSD-2-Clause", "Apache-2.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0")
"""Names that the format knows and cards use."""

MOST_LETTERS = 32
"""Of the name of a tensor."""

Floats = NDArray[np.float32]


def export_graph(card: ModelCard, weights: Path, out: Path) -> Path:
    """Write a network that is run as it is as a bioimage.io package (format 0.5), its weights as ONNX.

    The package says the card's axes, channels, pixel size and normalisation, and holds a test picture with the
    network's answer. A normalisation that the format has no words for (median and quartiles, between percentiles, by
    plate) is left to whoever runs it, which the README says: the test picture is prepared then.

    Parameters
    ----------
    card : ModelCard
        Of kind graph.
    weights : Path
        Its ONNX file.
    out : Path
        A folder, or the file to write; never an existing file.

    Raises
    ------
    ModelError
        If the file was changed, cannot be run, or takes pictures of 16 bits, which the format does not.
    ParameterError
        If the file exists.
    """
    graph = card.graph
    assert graph is not None
    if graph.dtype == "float16":
        raise ModelError(
            f"'{card.id}' takes pictures of type float16, which bioimage.io packages cannot say.",
            "Give it away as ONNX (.onnx).",
        )
    path = new_file(out, f"{card.id}.bioimageio.zip")
    held = read_onnx_bytes(weights)
    if hashlib.sha256(held).hexdigest() != card.weights.sha256:
        raise ModelError(f"The network of '{card.id}' was changed (SHA-256 differs).", "Import it again.")
    summary = check_onnx(held, weights.name)
    make_sure(held, weights.name, graph, len(card.input.channels))
    data = held
    wanted = [output.name for output in graph.outputs]
    if [port.name for port in summary.outputs] != wanted:
        data = with_outputs(held, wanted)
    order = [port.name for port in check_onnx(data, weights.name).outputs]
    outputs = sorted(graph.outputs, key=lambda output: order.index(output.name))
    steps = graph_steps(card)
    raw = example_picture(card)
    prepared = apply_steps(raw, steps, graph.axes)
    assert prepared is not None  # our own words
    network = GraphNetwork(held, graph.input, graph.axes, 1, graph.dtype)
    answers = network.answers_to(prepared.astype(graph.dtype))
    ids = output_ids(card)
    files = {
        ONNX: data,
        "test_input.npy": npy(raw),
        **{f"test_{ids[o.name]}.npy": npy(answers[o.name]) for o in outputs},
        "README.md": readme(card, steps).encode(),
        CARD: (card.model_dump_json(indent=1) + "\n").encode(),
    }
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_package(path, files, description(card, summary, outputs, steps, sha256, answers))
    return path


def graph_steps(card: ModelCard) -> list[dict[str, Any]]:
    """Say a card's normalisation in the words of the format; empty where it has none for it, or none is needed."""
    assert card.graph is not None
    how = card.input.normalisation
    letters = [a for a in card.graph.axes if a in ("yx" if how.per == "plane" else "zyx")]
    steps: list[dict[str, Any]] = []
    if how.per != "plate" and how.method in ("percentile", "minmax"):
        low, high = (how.low, how.high) if how.method == "percentile" else (0.0, 100.0)
        kwargs = {"axes": letters, "min_percentile": low, "max_percentile": high, "eps": EPS}
        steps.append({"id": "scale_range", "kwargs": kwargs})
    if how.per != "plate" and how.method == "zscore" and (how.low, how.high) == (0, 100):
        steps.append({"id": "zero_mean_unit_variance", "kwargs": {"axes": letters, "eps": EPS}})
    if how.method == "dataset" and not is_plain(card):
        each = {"mean": list(how.means), "std": list(how.stds), "axis": "channel"}
        one = {"mean": how.means[0], "std": how.stds[0]}
        steps.append({"id": "fixed_zero_mean_unit_variance", "kwargs": each if len(how.means) > 1 else one})
    if steps and how.clip is not None:
        steps.append({"id": "clip", "kwargs": {"min": how.clip[0], "max": how.clip[1]}})
    if card.graph.dtype != "float32" and (steps or is_plain(card)):
        steps.append({"id": "ensure_dtype", "kwargs": {"dtype": card.graph.dtype}})
    return steps


def is_plain(card: ModelCard) -> bool:
    """Tell whether grey values are taken as they are."""
    how = card.input.normalisation
    return how.method == "dataset" and set(how.means) == {0.0} and set(how.stds) == {1.0}


def output_ids(card: ModelCard) -> dict[str, str]:
    """Return what each output is called in the package: one without channels has no other place for its name."""
    graph = card.graph
    assert graph is not None
    plain = ["output"] if len(graph.outputs) == 1 else [f"output_{n + 1}" for n in range(len(graph.outputs))]
    found: dict[str, str] = {}
    for output, name in zip(graph.outputs, plain, strict=True):
        own = identifiers([card.targets[_first(graph, output)].name])[0].lower()[:MOST_LETTERS]
        taken = own in found.values() or own in ("input", *plain) or not (own.isascii() and own.isidentifier())
        found[output.name] = name if "c" in output.axes or taken else own
    return found


def example_sides(graph: GraphSpec) -> dict[str, int]:
    """Return the sides of the test picture: those that are fixed, or a multiple that is large enough."""
    found = {}
    for n, letter in enumerate("zyx"):
        least = TEST_PLANES if letter == "z" else TEST_PX
        found[letter] = graph.sides[n] or -(-least // graph.divisor[n]) * graph.divisor[n]
    return found


def example_picture(card: ModelCard) -> Floats:
    """Draw smooth noise in the axes of the network: grey values, or what prepared ones are like."""
    assert card.graph is not None
    sides = {"b": 1, "c": len(card.input.channels), **example_sides(card.graph)}
    shape = [sides[letter] for letter in card.graph.axes]
    rng = np.random.default_rng(0)
    fine = rng.normal(size=shape)
    for axis, letter in enumerate(card.graph.axes):
        if letter in "yx":
            wave = np.sin(np.arange(shape[axis]) / 5 + axis)
            fine = fine + 2 * wave.reshape([-1 if n == axis else 1 for n in range(len(shape))])
    return np.asarray(1000 + 100 * fine if graph_steps(card) or is_plain(card) else 0.5 * fine, np.float32)


def readme(card: ModelCard, steps: list[dict[str, Any]]) -> str:
    """Say what the package holds, and what it does not say."""
    how = card.input.normalisation
    told = [f"# {card.title}", card.summary, f"Gives {', '.join(t.name for t in card.targets)}, unscaled."]
    if not steps and not is_plain(card):
        told.append(
            f"Pictures must be prepared first (`{how.method}`, {how.low:g} to {how.high:g} %, by {how.per}): the "
            "format has no words for it. The test picture is prepared."
        )
    told += ["## Validation", "Not measured.", "## When not to trust it", card.limitations]
    told += ["## Licence", f"{card.licence}. {card.credit}".strip()]
    return "\n\n".join(told) + "\n"


def description(
    card: ModelCard,
    summary: OnnxSummary,
    outputs: list[GraphOutput],
    steps: list[dict[str, Any]],
    sha256: dict[str, str],
    answers: dict[str, NDArray[Any]],
) -> dict[str, Any]:
    """Return ``rdf.yaml`` as plain values."""
    graph = card.graph
    assert graph is not None
    batch = dict(zip(graph.axes, summary.inputs[0].sides, strict=False)).get("b", 1)
    lengths = dict.fromkeys("yx", card.input.pixel_size_um) | {"z": card.input.z_step_um}

    def axis(letter: str, size: Any, names: list[str]) -> dict[str, Any]:
        if letter == "b":
            return {"type": "batch", **({"size": 1} if batch == 1 else {})}
        if letter == "c":
            return {"type": "channel", "channel_names": identifiers(names)}
        scale = {"scale": lengths[letter], "unit": "micrometer"} if lengths[letter] else {}
        return {"type": "space", "id": letter, **scale, "size": size}

    def tensor(kind: str, axes: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
        test = {"source": f"test_{kind}.npy", "sha256": sha256[f"test_{kind}.npy"]}
        return {"id": kind, "axes": axes, "test_tensor": test, "data": {"type": dtype}}

    sides = example_sides(graph)
    sizes = {
        letter: graph.sides[n] or {"min": sides[letter], "step": graph.divisor[n]} for n, letter in enumerate("zyx")
    }
    given = tensor("input", [axis(a, sizes.get(a), list(card.input.channels)) for a in graph.axes], "float32")
    given["preprocessing"] = steps
    names = {o.name: [t.name for t in card.targets][_first(graph, o) :][: o.channels] for o in graph.outputs}
    ids = output_ids(card)
    found = []
    for output in outputs:
        same = {a: {"tensor_id": "input", "axis_id": a} if graph.sides["zyx".index(a)] is None else sides[a]
                for a in "zyx" if a in graph.axes}  # fmt: skip
        if output.centre:
            same["z"] = 1
        axes = [axis(a, same.get(a, 1), names[output.name]) for a in output.axes]
        found.append(tensor(ids[output.name], axes, str(answers[output.name].dtype)))
    licence = {"license": card.licence} if card.licence in LICENCES else {}
    return {
        "type": "model",
        "format_version": FORMAT,
        "name": f"{plain_text(card.title)[:100]} ({plain_text(card.id)})",
        "description": card.summary[:1024],
        "authors": [{"name": plain_text(card.credit.split(";")[0])[:80] or "not known"}],
        **licence,
        "documentation": {"source": "README.md", "sha256": sha256["README.md"]},
        "attachments": [{"source": CARD, "sha256": sha256[CARD]}],
        "tags": ["vitascope", card.task, "3d" if graph.has_depth else "2d", "onnx"],
        "version": "1",
        "inputs": [given],
        "outputs": found,
        "weights": {"onnx": {"source": ONNX, "sha256": sha256[ONNX], "opset_version": summary.opset}},
    }


def _first(graph: GraphSpec, output: GraphOutput) -> int:
    return sum(o.channels for o in graph.outputs[: graph.outputs.index(output)])
