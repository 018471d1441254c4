"""The table of a plate run that ranks wells by their whole cells."""

import numpy as np
import pandas as pd

from plate_support import make_job, make_plate
from vitascope.batch.plate.cell_ranking import RANKING, rank_cells, whole_cells
from vitascope.batch.plate.journal import Journal, to_bytes
from vitascope.batch.plate.run import run_plate
from vitascope.batch.plate.tables import write_plate_results
from vitascope.core.progress import run_to_end
from vitascope.io.plates.read import open_plate


def cells(image, areas, *, border=(), orphan=()):
    count = len(areas)
    return pd.DataFrame(
        {
            "image": image,
            "label": range(1, count + 1),
            "objects": "cells",
            "parent": [0 if k in orphan else k + 1 for k in range(count)],
            "at_border": [int(k in border) for k in range(count)],
            "centroid_y_px": 1.0,
            "area_px": np.asarray(areas, float),
            "area_um2": np.nan,
        }
    )


def test_whole_cells_with_a_nucleus_are_taken_and_nothing_else():
    nuclei = cells("a", [1, 2]).assign(objects="nuclei").drop(columns="at_border")
    mixed = pd.concat([nuclei, cells("a", [10, 20, 30, 40], border=(1,), orphan=(3,))], ignore_index=True)
    plain = pd.DataFrame({"image": ["a"], "label": [1], "area_px": [5.0]})
    (found,) = whole_cells(iter([plain, mixed]))
    assert found["area_px"].tolist() == [10, 30]


def test_fields_of_a_well_are_put_together_and_images_that_were_not_judged_are_left_out():
    results = pd.DataFrame(
        {
            "image": ["a", "b", "c", "d"], "plate": "p", "well": ["A01", "A01", "A02", "A03"], "time": None,
            "status": ["OK", "WARN", "OK", "FAILED"],
        }
    )  # fmt: skip
    rows = pd.concat([cells("a", [1, 2, 3]), cells("b", [4, 5, 6]), cells("c", [9] * 7), cells("d", [99] * 7)])
    found = rank_cells(rows, results).set_index(["quantity", "well"])
    assert set(found.index.get_level_values("quantity")) == {"area_px"}
    assert found.loc[("area_px", "A01"), ["cells", "median", "low", "high", "rank"]].tolist() == [6, 3.5, 1, 6, 2]
    assert found.loc[("area_px", "A02"), ["rank", "rank_low", "rank_high", "wells"]].tolist() == [1, 1, 1, 2]


def test_time_points_are_ranked_apart():
    results = pd.DataFrame({"image": ["a", "a"], "plate": "p", "well": "A01", "time": ["0", "1"], "status": "OK"})
    rows = cells("a", range(12)).assign(time=["0"] * 6 + ["1"] * 6)
    assert rank_cells(rows, results)["median"].tolist() == [2.5, 8.5]


def test_a_plate_run_with_cells_has_the_table_and_one_without_has_none(tmp_path):
    plate, out = make_plate(tmp_path / "plate", wells=3), tmp_path / "out"
    run_to_end(run_plate(make_job(plate, out)))
    assert not (out / RANKING).exists()
    with Journal(out) as journal:
        for number, entry in enumerate(list(journal.entries())):
            content = to_bytes(cells(entry.name, np.arange(8) + 10 * number))
            journal._db.execute("UPDATE tables SET content = ? WHERE image = ?", (content, entry.name))
        write_plate_results(journal, open_plate(plate), None)
    found = pd.read_csv(out / RANKING)
    assert found["well"].tolist() == ["A03", "A02", "A01"]
    assert found["rank"].tolist() == [1, 2, 3]
    assert found["median"].tolist() == [23.5, 13.5, 3.5]
