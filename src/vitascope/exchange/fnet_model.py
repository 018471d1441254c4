"""A network of volumes that was trained here, kept as a model that is run as it is."""

from __future__ import annotations

from pathlib import Path

from vitascope.core.card import Metric, ModelCard
from vitascope.exchange.graph_import import import_graph
from vitascope.io.models.cards import own_models, write_card
from vitascope.recipes.stack_pair import StackFigures, StackTrainParams
from vitascope.tasks.registry import TASKS


def keep_stack_model(
    checkpoint: Path,
    name: str,
    stain: str,
    figures: StackFigures,
    params: StackTrainParams,
    sources: tuple[str, ...],
    pixel_size_um: float | None = None,
) -> ModelCard:
    """Make a model of weights that :func:`vitascope.training.fnet_stack.train_on_stacks` wrote.

    Parameters
    ----------
    checkpoint : Path
    name : str
        Of the new model.
    stain : str
        What it predicts.
    figures : StackFigures
    params : StackTrainParams
    sources : tuple of str
        Names of the images it was trained on.
    pixel_size_um : float, optional
        Of these images.

    Raises
    ------
    ModelError
        If the extra ``onnx`` is not installed; the checkpoint can be imported later.
    ParameterError
        If there is a model of this name.
    """
    task = next(spec.name for spec in TASKS if spec.runs_graphs)
    card = import_graph(checkpoint, task, name, outputs=stain, normalise="zscore", pixel_size_um=pixel_size_um)
    told = (
        f"Trained here on {', '.join(sources)} for {params.steps} steps; mean squared error {figures.first_loss:.3g} "
        f"at first, {figures.last_loss:.3g} at last, in variances of the stain."
    )
    first, last = figures.rows
    on = f"rows {first} to {last} of the field it was trained on"
    made = card.model_copy(
        update={
            "title": f"{stain} from stacks (fnet, {params.filters} filters)",
            "summary": f"a label-free stack to {stain}, plane by plane; trained on {len(sources)} field(s)",
            "metrics": (
                Metric(name=f"PCC {stain}", value=round(figures.pcc, 4), on=on),
                Metric(name=f"explained variance {stain}", value=round(figures.explained, 4), on=on),
            ),
            "split": f"by rows: {on} were held out, with a gap",
            "limitations": "It was measured on other rows of its own field only: other cells, days and microscopes are "
            "not known.",
            "training": {
                **card.training,
                "params": params.model_dump(mode="json"),
                "notes": [told, *card.training.get("notes", [])[1:]],
            },
        }
    )
    write_card(made, own_models())
    return made
