"""Whole cells and organelles from true and from predicted stains of the five-stain field, against the outlines given."""

from __future__ import annotations

import numpy as np
import tifffile
from tests.benchmarks.isl import RECIPES, TWINS, predictor
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.ops.objects.er import find_er
from vitascope.ops.objects.filled_outlines import fill_outlines
from vitascope.ops.objects.segment import SegmentParams, segment
from vitascope.ops.objects.whole_cells import at_border
from vitascope.pipelines.stain_cells import FoundCells, find_cells
from vitascope.pipelines.stain_tiers import compare_tiers
from vitascope.recipes.recipe import find_data, read_recipe
from vitascope.stats.agreement import pearson
from vitascope.stats.object_match import match_objects
from vitascope.training.data.stain import load_corpus

NUCLEUS_PX = 40.0
TEST_FROM = 640


def of_stains(stains: dict[str, np.ndarray]) -> tuple[np.ndarray, FoundCells]:
    nuclei = segment(stains["nuclei"], SegmentParams(diameter_px=NUCLEUS_PX)).labels
    return nuclei, find_cells(nuclei, stains, NUCLEUS_PX)


def without_border(labels: np.ndarray) -> np.ndarray:
    """Leave out what touches the border: cells there have no outline."""
    return np.where(np.isin(labels, at_border(labels)), 0, labels)


def told(name: str, truth: np.ndarray, found: np.ndarray) -> None:
    matched = match_objects(truth, found)
    interval = matched.f1_interval()
    print(
        f"  {name:44} F1 at IoU 0.5 {matched.f1:.3f} ({interval.low:.3f} to {interval.high:.3f}); {len(np.unique(truth)) - 1} "
        f"outlined, {len(np.unique(found)) - 1} found"
    )


def tables(true: dict[str, np.ndarray], predicted: dict[str, np.ndarray]) -> None:
    """Print Tables 5, 7 and 8 of the thesis for every stain: Pearson and Spearman over cells of the rows kept apart."""
    here = slice(TEST_FROM, None)
    parts = [{name: stain[here] for name, stain in side.items()} for side in (true, predicted)]
    found = run_to_end(compare_tiers(*parts, nucleus_px=NUCLEUS_PX)).table()
    found = found[found["tier"] == "single-cell"]
    print(f"Tables 5, 7 and 8, rows {TEST_FROM}-809: single cells, true against predicted")
    for (target, quantity), rows in found.groupby(["target", "quantity"], sort=False):
        row = rows.iloc[0]
        print(f"  {target:8} {quantity:28} {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})")


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "organelles-brightfield-twin.yaml")
    try:
        corpus = run_to_end(load_corpus(recipe, RECIPES))
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    folder = find_data(recipe.data[0], RECIPES)
    outlined = {what: fill_outlines(tifffile.imread(folder / f"{what}_outlines.tif")) for what in ("cells", "nuclei")}
    (pair,) = corpus.test
    names = [t.name for t in recipe.targets]
    true = dict(zip(names, pair.target, strict=True))
    predicted = dict(zip(names, predictor(TWINS / f"{recipe.id}.json", flips=False)(pair.image), strict=True))
    sides = {"true stains": of_stains(true), "predicted stains (rows 0-543 were trained on)": of_stains(predicted)}
    for name, (nuclei, found) in sides.items():
        print(name)
        told("nuclei", outlined["nuclei"], without_border(nuclei))
        told("whole cells, not at the border", outlined["cells"], without_border(found.cells))
        table = found.table[found.table["at_border"] == 0]
        overlap = table["nucleus_on_er_fraction"]
        print(
            f"  nucleus on ER: median {overlap.median():.2f}, {overlap.quantile(0.1):.2f} to {overlap.quantile(0.9):.2f} of the "
            f"nucleus; nucleus to cell {table['nucleus_to_cell_ratio'].median():.2f}; ER {table['er_fraction'].median():.2f} of "
            f"the cell; mitochondria {table['mito_length_px'].median():.0f} px long; {table['golgi_spots'].mean():.1f} spots a cell"
        )
    (_, real), (_, seen) = sides.values()
    pairs = match_objects(real.cells, seen.cells)
    mine = real.table.set_index("label").loc[pairs.truth]
    other = seen.table.set_index("label").loc[pairs.found]
    print(f"{len(mine)} cells matched, true against predicted")
    for column in ("nucleus_on_er_fraction", "nucleus_to_cell_ratio", "er_fraction", "area_px", "mito_length_px"):
        a, b = mine[column].to_numpy(float), other[column].to_numpy(float)
        print(f"  {column:24} mean error {np.nanmean(b - a):+.3f}, Pearson {pearson(a, b):.2f}")
    tables(true, predicted)
    inside = outlined["cells"] > 0
    for method in ("mended", "thesis"):
        mask = find_er(true["er"], NUCLEUS_PX, method).mask
        print(
            f"ER, {method}: {(mask & inside).sum() / inside.sum():.2f} of the outlined cells, {mask.mean():.3f} of the field"
        )
