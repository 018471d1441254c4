"""Calibrate a model of wells on one plate: compare ways, keep the best, say what more wells would bring."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from vitascope.core.card import DataSource, Metric, ModelCard, Weights
from vitascope.core.errors import OutputError, ParameterError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.readout import Readout
from vitascope.core.versions import versions
from vitascope.engine.load_model import export_tensors
from vitascope.io.atomic import check_writable
from vitascope.io.models.cards import find_model, write_card
from vitascope.io.models.weights import write_weights
from vitascope.io.results.hashing import sha256_of
from vitascope.io.tables.csv_append import write_csv
from vitascope.ops.wells.organoid_features import ORGANOID_FEATURES
from vitascope.recipes.calibration import CURVE, ERRORS, NEXT, WELLS, CalibrateParams, Calibration
from vitascope.recipes.recipe import Recipe
from vitascope.stats.bootstrap import LEVEL
from vitascope.stats.calibration.left_out import (
    NETWORK,
    choose,
    compare_left_out,
    deal_folds,
    error_table,
    learning_curve,
)
from vitascope.stats.calibration.next_wells import PLACES, next_table, spread_of_wells
from vitascope.stats.calibration.readouts import READ_METHODS, ReadMethod, fit_readout
from vitascope.training.calibration.domain import domain_of_few
from vitascope.training.calibration.network import finetune, finetune_left_out, finetuning_recipe, pair_of
from vitascope.training.calibration.wells import Laboratory, read_laboratory
from vitascope.training.tasks.atp import narrowest
from vitascope.training.tasks.regression import predict

Floats = NDArray[np.float64]
HOW = {
    "line": "a line on the start model's number",
    "features": "area, volume, darkness, texture and roundness of the organoids",
    "blend": "the start model's number, and area, volume, darkness, texture and roundness of the organoids",
    NETWORK: "the fine-tuned network",
}
LIMITS = (
    "Holds for images and a reader like those it was calibrated on: {wells} wells of one laboratory. Another plate, "
    "objective, organoid line or reader needs a calibration of its own, or a few wells to check this one."
)


def calibrate(
    images: Path, values: Path, out: Path, name: str, params: CalibrateParams
) -> ProgressGenerator[Calibration]:
    """Make a model that is calibrated on wells with a measured number.

    Parameters
    ----------
    images : Path
        Folder of bright-field images, a well each; wells without a value are candidates to be measured next.
    values : Path
        A reader's sheet: grid, list or export.
    out : Path
        Folder that gets ``<name>.json``, ``<name>.safetensors`` and ``<name>.calibration`` with the tables.
    name : str
        Id of the new model.
    params : CalibrateParams

    Yields
    ------
    Progress

    Returns
    -------
    Calibration

    Raises
    ------
    VitascopeError
        If images, sheet or start model cannot be used, or there is a model of this name already.
    """
    if (out / f"{name}.json").exists():
        raise ParameterError(f"There is a model '{name}' already.", "Choose another name; models are never replaced.")
    check_writable(out)
    laboratory = yield from read_laboratory(images, values, params)
    wells = laboratory.wells
    folds = deal_folds(wells.groups, seed=params.seed)
    recipe, of_network = None, None
    if params.network or params.method == NETWORK:
        recipe = finetuning_recipe(laboratory, name, images, params.seed)
        of_network = yield from finetune_left_out(recipe, laboratory, folds)
    yield Progress(0, 1, "comparing")
    predicted = compare_left_out(wells, folds, of_network)
    errors = {method: float(np.abs(one - wells.truth).mean()) for method, one in predicted.items()}
    chosen = choose(errors) if params.method == "best" else params.method
    network, readout = None, None
    if chosen == NETWORK and recipe is not None:
        network = yield from finetune(recipe, laboratory, np.arange(len(wells)))
    else:
        readout = fit_readout(_read_method(chosen), wells)
    table = error_table(wells, predicted, chosen)
    card = _card(laboratory, name, params, chosen, predicted, table, readout, network, recipe, images)
    card = _written(card, laboratory, network, out)
    curve = learning_curve(_read_method(chosen), wells, params.seed)
    following = _next(laboratory)
    folder = out / f"{name}.calibration"
    _write_tables(folder, table, curve, following, laboratory, predicted)
    yield Progress(1, 1, "comparing")
    return Calibration(
        card=card,
        path=out / f"{name}.json",
        folder=folder,
        chosen=chosen,
        errors=table,
        curve=curve,
        next_wells=following,
        apart=laboratory.apart,
        problems=laboratory.problems,
    )


def _read_method(chosen: str) -> ReadMethod:
    """Return the way by which learning is judged: that of the network would take a training for each point."""
    return chosen if chosen in READ_METHODS else "blend"  # type: ignore[return-value]


def _card(
    laboratory: Laboratory,
    name: str,
    params: CalibrateParams,
    chosen: str,
    predicted: dict[str, Floats],
    table: pd.DataFrame,
    readout: Readout | None,
    network: nn.Module | None,
    recipe: Recipe | None,
    images: Path,
) -> ModelCard:
    """Return the card, as yet with the start model's weights."""
    start, wells = laboratory.start.card, laboratory.wells
    unit = params.unit or start.targets[0].unit
    on = f"wells left out, {laboratory.apart} kept apart"
    deep = np.array([one.deep for one in laboratory.known])
    if network is not None:
        deep = predict(network, [pair_of(one) for one in laboratory.known])[1]
    paths = sorted({path for one in laboratory.known for path in one.images.paths})
    hashes = {path.name: found["sha256"] for path, found in zip(paths, sha256_of(paths), strict=True)}
    return ModelCard(
        card_version=1 if readout is None else 3,
        id=name,
        task=start.task,
        title=f"ATP, calibrated on {len(wells)} wells",
        summary=f"Calibrated on {len(wells)} wells by {HOW[chosen]}; start: {start.id}",
        architecture=start.architecture if recipe is None or network is None else recipe.network,
        input=start.input,
        targets=(start.targets[0].model_copy(update={"unit": unit}),),
        data=(
            DataSource(name=images.name, licence="of the user", credit="the user", sha256=hashes),
            *start.data,
        ),
        trained_on=tuple(dict.fromkeys([*start.trained_on, *(f for one in laboratory.known for f in one.seen)])),
        split=f"each of {len(set(wells.groups))} {laboratory.apart} left out in turn; then all wells",
        metrics=_metrics(table, chosen, unit, on),
        limitations=LIMITS.format(wells=len(wells)),
        licence=start.licence,
        credit=start.credit,
        weights=start.weights,
        readout=readout,
        domain=domain_of_few(laboratory.known[0].pixels.shape[-1], [one.statistics for one in laboratory.known], deep),
        intervals=narrowest(wells.truth, predicted[chosen], wells.groups, on),
        picture_kind=start.picture_kind,
        default_params=start.default_params,
        parent=f"{start.id} {start.weights.sha256}",
        training={
            "calibration": {"method": chosen, "wells": len(wells), "apart": laboratory.apart, **_settings(params)}
        },
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
    )


def _settings(params: CalibrateParams) -> dict[str, Any]:
    return {name: value for name, value in params.model_dump().items() if name != "start"}


def _metrics(table: pd.DataFrame, chosen: str, unit: str, on: str) -> tuple[Metric, ...]:
    """Return the errors of the method that was kept, and of the best constant."""
    found = []
    rows = {str(row["method"]): row for row in table.to_dict("records")}
    for method, name in ((chosen, "MAE"), ("constant", "MAE of the median of the other wells")):
        row = rows[method]
        known = bool(np.isfinite(row["low"]))
        found.append(
            Metric(
                name=name,
                value=float(f"{row['mae']:.5g}"),
                low=float(f"{row['low']:.5g}") if known else None,
                high=float(f"{row['high']:.5g}") if known else None,
                level=LEVEL if known else None,
                unit=unit,
                on=on,
                n=int(row["wells"]),
            )
        )
    return tuple(found)


def _written(card: ModelCard, laboratory: Laboratory, network: nn.Module | None, out: Path) -> ModelCard:
    """Write weights and card; those of a readout are the start model's, as they are."""
    file = out / f"{card.id}.safetensors"
    if network is not None:
        tensors = export_tensors(network, "float16")
        count = sum(p.numel() for p in network.parameters())
    else:
        tensors, count = export_tensors(laboratory.start.network, card.weights.dtype), card.weights.parameters
    sha256 = write_weights(file, tensors)
    dtype = "float16" if network is not None else card.weights.dtype
    card = card.model_copy(update={"weights": Weights(file=file.name, sha256=sha256, dtype=dtype, parameters=count)})
    try:
        write_card(card, out)
    except OutputError:
        file.unlink(missing_ok=True)
        raise
    return find_model(str(out / f"{card.id}.json"))[0]


def _next(laboratory: Laboratory) -> pd.DataFrame:
    """Name the wells without a value whose value would teach most."""
    every = [*laboratory.known, *laboratory.unknown]
    places = [one.images.place for one in every]
    spread = spread_of_wells(np.array([[*one.features, one.number] for one in every]), [p.well for p in places])
    count = len(laboratory.known)
    return next_table(
        spread[:count],
        spread[count:],
        (*ORGANOID_FEATURES, "number", *PLACES),
        [one.images.name for one in laboratory.unknown],
        [p.plate for p in places[count:]],
        [p.well for p in places[count:]],
    )


def _write_tables(
    folder: Path,
    errors: pd.DataFrame,
    curve: pd.DataFrame,
    following: pd.DataFrame,
    laboratory: Laboratory,
    predicted: dict[str, Floats],
) -> None:
    places = [one.images.place for one in laboratory.known]
    each = pd.DataFrame(
        {
            "image": [one.images.name for one in laboratory.known],
            "plate": [p.plate for p in places],
            "well": [p.well for p in places],
            "group": laboratory.wells.groups,
            "measured": laboratory.wells.truth,
            **predicted,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in ((ERRORS, errors), (CURVE, curve), (NEXT, following), (WELLS, each)):
        write_csv(folder / name, [table], first=tuple(table.columns))
