"""What all images of a run share is learnt before the first of them, whichever way they are run."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import tifffile

import vitascope
from tests_support import blobs, make_model, save_model
from vitascope.batch.item import Item
from vitascope.batch.run_images import Job, run_images
from vitascope.batch.run_layers import run_layers
from vitascope.core.progress import run_to_end
from vitascope.core.well import WellPosition
from vitascope.io.filenames.grouping import find_groups
from vitascope.io.images.read import read_image
from vitascope.ops.objects.golgi import clip_level, take_off_background
from vitascope.tasks.stain import SPEC

NAMES = ("nuclei", "er", "agp", "mito")
FAST = {"model": "five", "precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0, "min_solidity": 0}


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    save_model(make_model(model_id="five", targets=NAMES, width=0.25, object_diameter_px=18), tmp_path / "models")


@pytest.fixture
def wells(tmp_path):
    """Three wells of one plate, whose cells are unlike."""
    folder = tmp_path / "plate"
    folder.mkdir()
    for number, name in enumerate(("A01", "A02", "B03")):
        picture = (200 + 400 * (number + 1) * blobs((96, 112), [(25 + 8 * number, 30), (60, 80)], seed=number)).astype(
            np.uint16
        )
        tifffile.imwrite(folder / f"{name}.tif", picture)
    return folder


def pooled_level(paths):
    """The 90th percentile of all pixels inside cells, background off, read off the pictures that a run gives."""
    found = []
    for path in paths:
        result = vitascope.run("stain", path, cells=True, golgi_level="image", **FAST)
        bodies = np.asarray(result.output("prediction").array[2])
        cells = next(np.asarray(o.array) for o in result.outputs if o.title == "cells")
        found.append((take_off_background(bodies, 18), cells > 0))
    return clip_level(found)


def test_one_level_for_all_images_of_a_run_however_they_are_run(wells, tmp_path):
    paths = sorted(wells.glob("*.tif"))
    expected = pytest.approx(pooled_level(paths), abs=2e-3)
    params = SPEC.make_params(cells=True, **FAST)
    run_to_end(run_images(Job(SPEC, find_groups([str(wells)]), params, tmp_path / "files")))
    levels = pd.read_csv(tmp_path / "files" / "results.csv")["golgi_level"]
    assert levels.nunique() == 1
    assert levels[0] == expected
    items = [Item(p.stem, WellPosition(), {"image": partial(read_image, p)}) for p in paths]
    layers = run_to_end(run_layers(SPEC, items, params))
    assert {result.rows[0]["golgi_level"] for result in layers} == {levels[0]}
    vitascope.run_plate(wells, "stain", tmp_path / "plate-run", cells=True, **FAST)
    table = pd.read_csv(tmp_path / "plate-run" / "results.csv")
    assert set(table["golgi_level"]) == {levels[0]}
    assert len(table) == 3
    separate = [
        vitascope.run("stain", p, cells=True, golgi_level="image", **FAST).rows[0]["golgi_level"] for p in paths
    ]
    assert len(set(separate)) == 3


def test_a_movie_is_a_set_of_its_own(wells):
    movie = np.stack([tifffile.imread(p) for p in sorted(wells.glob("*.tif"))])
    rows = vitascope.run("stain", movie, axes="TYX", cells=True, **FAST).rows
    assert len({row["golgi_level"] for row in rows}) == 1
    own = vitascope.run("stain", movie, axes="TYX", cells=True, golgi_level="image", **FAST).rows
    assert len({row["golgi_level"] for row in own}) == 3


def test_an_image_that_cannot_be_read_is_passed_over_and_nothing_is_learnt_without_cells(wells, tmp_path):
    (wells / "C01.tif").write_bytes(b"no image")
    out = tmp_path / "out"
    run_to_end(run_images(Job(SPEC, find_groups([str(wells)]), SPEC.make_params(cells=True, **FAST), out)))
    table = pd.read_csv(out / "results.csv")
    assert sorted(table["status"]).count("ERROR") + sorted(table["status"]).count("FAILED") == 1
    assert table["golgi_level"].dropna().nunique() == 1
    plain = SPEC.make_params(**FAST)
    assert run_to_end(SPEC.settle([lambda: pytest.fail("opened")] * 3, plain)) is plain
