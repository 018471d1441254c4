"""Training data of single cells: from montages to cells in network units, split by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.ops.wells.montage import cut_montage, distinct_cells
from vitascope.recipes.labelled_images import find_labelled_images
from vitascope.recipes.recipe import Recipe, check_files, find_data
from vitascope.training.data.labelled_images import measured_input, read_labelled_image
from vitascope.training.data.samples import PARTS, CellCorpus, Sample


def load_cells(recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[CellCorpus]:
    """Read montages of single cells, drop repeats and padding, and split them by cell, in each class the same shares.

    Raises
    ------
    ReaderError
        If data are absent or altered.
    InputError
        If a montage has no class, or more than one.
    TrainingError
        If the split leaves no cells of a class to train on.
    """
    names = [t.name for t in recipe.targets]
    raw: list[list[NDArray[Any]]] = [[] for _ in names]
    seen: set[bytes] = set()
    marks: list[str] = []
    for data in recipe.data:
        folder = find_data(data, recipe_folder)
        check_files(data, folder)
        for number, labelled in enumerate(find_labelled_images(data, tuple(names), folder)):
            yield Progress(number, len(data.listed), f"reading {data.name}")
            own = [k for k, name in enumerate(names) if labelled.labels.get(name)]
            if labelled.source.montage is None or len(own) != 1:
                raise InputError(
                    f"{labelled.images.name} is no montage of cells of one class.", "Name its class and grid."
                )
            sample = read_labelled_image(recipe, labelled, (), folder)[0]
            marks += sample.fingerprints
            raw[own[0]].append(_new_cells(sample, labelled.source.montage, seen))
    rng = np.random.default_rng(recipe.split.seed)
    parts: dict[str, list[NDArray[Any]]] = {part: [] for part in PARTS}
    for name, found in zip(names, raw, strict=True):
        cells = np.concatenate(found) if found else np.zeros((0, 1, 1, 1))
        order = rng.permutation(len(cells))
        test, validation = (
            round(share * len(cells)) for share in (recipe.split.test_fraction, recipe.split.validation_fraction)
        )
        kept = {
            "test": order[:test],
            "validation": order[test : test + validation],
            "train": order[test + validation :],
        }
        if not len(kept["train"]):
            raise TrainingError(f"There is no cell of '{name}' to train on.", "Add cells, or keep fewer apart.")
        for part, rows in kept.items():
            parts[part].append(cells[rows])
    middle = recipe.mosaic.cell_px if recipe.mosaic is not None else None
    spec = measured_input(recipe.input, ([*np.moveaxis(_middle(c, middle), 1, 0)] for c in parts["train"]))
    tiles = {part: [_scaled(cells, spec) for cells in each] for part, each in parts.items()}
    scaled = {part: [_middle(cells, middle) for cells in each] for part, each in tiles.items()}
    description = "by cell, repeats and padding dropped: " + "; ".join(
        f"{part} {', '.join(f'{len(c)} {n}' for c, n in zip(parts[part], names, strict=True))}" for part in PARTS
    )
    return CellCorpus(scaled, tiles, spec, description, tuple(dict.fromkeys(marks)))


def _new_cells(sample: Sample, montage: tuple[int, int, int], seen: set[bytes]) -> NDArray[Any]:
    tiles = np.stack([cut_montage(p, *montage) for p in sample.planes], axis=1)  # (N, C, side, side)
    cells = tiles[distinct_cells(tiles[:, 0])]
    fresh = [i for i, cell in enumerate(cells) if cell.tobytes() not in seen]
    seen.update(cell.tobytes() for cell in cells)
    return np.asarray(cells[fresh])


def _middle(cells: NDArray[Any], side_px: int | None) -> NDArray[Any]:
    """Cut the middle out of each cell's tile (n, C, side, side)."""
    first = (cells.shape[-1] - side_px) // 2 if side_px is not None else 0
    if first <= 0:
        return cells
    inner = slice(first, first + (side_px or 0))
    return cells[:, :, inner, inner]


def _scaled(cells: NDArray[Any], spec: InputSpec) -> NDArray[np.float32]:
    """Normalise cells (n, C, side, side) by the data set's mean and standard deviation."""
    how = spec.normalisation
    if how.method != "dataset":
        raise TrainingError(
            "Cells are normalised by their data set.", "Set the method of the normalisation to 'dataset'."
        )
    mean, spread = (np.array(v)[None, :, None, None] for v in (how.means, how.stds))
    scaled = (cells - mean) / spread
    return np.asarray(scaled if how.clip is None else np.clip(scaled, *how.clip), np.float32)
