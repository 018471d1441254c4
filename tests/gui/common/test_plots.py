import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from vitascope.core.result import LabelsOutput, Result
from vitascope.core.well import WellPosition
from vitascope.gui.common.plots import PLOTS, draw_stain
from vitascope.io.results.figures import PREDICTED, REAL
from vitascope.tasks.registry import TASKS


def result(table=None, **tables):
    outputs = () if table is None else (LabelsOutput("labels", "nuclei", np.zeros((4, 4), np.uint32), "YX", table),)
    return Result(outputs, ({},), "nuclei", WellPosition(), "image", tables=tables)


def scatter_points(axes):
    return np.asarray(axes.collections[0].get_offsets())


def test_agreement_is_drawn_as_violins_and_scatter_of_what_both_sides_have():
    rng = np.random.default_rng(0)
    crops = pd.DataFrame(
        {
            "real_count": rng.integers(0, 9, 8),
            "predicted_count": rng.integers(0, 9, 8),
            "real_total_area_px": rng.random(8),
            "predicted_total_area_px": rng.random(8),
            "real_alone": 1.0,
        }
    )
    crops.loc[3, "predicted_total_area_px"] = np.nan
    figure = Figure()
    assert draw_stain(figure, result(crops=crops)) == 2
    violins, scatters = figure.axes[::2], figure.axes[1::2]
    assert [a.get_title() for a in violins] == ["Count", "Total area (px²)"]
    assert [t.get_text() for t in violins[0].get_xticklabels()] == ["real", "predicted"]
    np.testing.assert_array_equal(scatter_points(scatters[0]), crops[["real_count", "predicted_count"]])
    assert len(scatter_points(scatters[1])) == 7
    assert (scatters[0].get_xlabel(), scatters[0].get_ylabel()) == ("real", "predicted")


def test_a_quantity_that_does_not_vary_is_drawn_without_a_warning():
    crops = pd.DataFrame({"real_count": [2.0, 2.0, 2.0], "predicted_count": [0.0, 0.0, 0.0]})
    assert draw_stain(Figure(), result(crops=crops))


@pytest.mark.parametrize(("um2", "title"), [([1.0, 2.0, 4.0], "Area (µm²)"), ([np.nan] * 3, "Area (px²)")])
def test_without_a_real_stain_the_objects_are_drawn(um2, title):
    table = pd.DataFrame({"label": [1, 2, 3], "area_px": [4, 8, 16], "area_um2": um2, "mean_dapi": [0.2, 0.5, 0.9]})
    figure = Figure()
    assert draw_stain(figure, result(table))
    assert [a.get_title() for a in figure.axes] == [title, "Mean dapi"]


@pytest.mark.parametrize("crops", [pd.DataFrame(), pd.DataFrame({"real_count": [np.nan], "predicted_count": [1.0]})])
def test_nothing_to_draw_is_said(crops):
    assert not draw_stain(Figure(), result(crops=crops))


def test_real_and_predicted_have_colours_of_their_own_and_plots_belong_to_tasks():
    assert REAL != PREDICTED
    assert set(PLOTS) == {spec.plot for spec in TASKS} - {""}
