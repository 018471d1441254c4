from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from qtpy.QtWidgets import QLabel

from gui_support import make_spec
from vitascope.core.result import LabelsOutput, Result
from vitascope.core.well import WellPosition
from vitascope.gui.run.result_box import ResultBox

SPEC = replace(make_spec(), plot="objects")


def result(flags=("saturated",), areas=(4.0, 8.0)):
    table = pd.DataFrame({"label": range(1, len(areas) + 1), "area_px": areas, "area_um2": np.nan, "mean_dna": areas})
    output = LabelsOutput("labels", "nuclei", np.zeros((4, 4), np.uint32), "YX", table)
    row = {"objects": len(areas), "mean_area_px": float(np.mean(areas or [0]))}
    return Result((output,), (row,), "nuclei", WellPosition(), "image", "WARN", flags)


@pytest.fixture
def box(qtbot):
    found = ResultBox(SPEC, lambda: "#123456")
    qtbot.addWidget(found)
    return found


def test_the_number_is_large_and_the_flags_are_sentences(box):
    box.show_result(result())
    assert ">2</span>" in box.number.text()
    assert "nuclei" in box.number.text()
    assert box.words.text() == "⚠ More than 1 % of the pixels sit at the end of the scale."
    cells = [[box.table.item(i, j).text() for j in range(2)] for i in range(2)]
    assert cells == [["Objects", "2"], ["Mean area (px²)", "6"]]
    box.show_result(result(flags=()))
    assert not box.words.isVisibleTo(box)


def test_the_plot_is_drawn_when_it_is_looked_at_and_anew_for_each_result(box):
    box.show_result(result())
    assert box.canvas is None
    box.tabs.setCurrentIndex(1)
    first = box.canvas
    assert len(first.figure.axes) == 2
    assert first.figure.axes[0].yaxis.label.get_color() == "#123456"
    box.show_result(result(areas=(1.0, 2.0, 3.0)))
    assert box.canvas is not first


def test_plots_of_many_rows_get_the_room_they_need(box):
    rng = np.random.default_rng(0)
    crops = {f"{side}_{n}": rng.random(9) for n in ("count", "area", "total", "mean") for side in ("real", "predicted")}
    one = Result((), ({"objects": 1},), "nuclei", WellPosition(), "image", tables={"crops": pd.DataFrame(crops)})
    box.show_result(one)
    short = box.tabs.height()
    box.tabs.setCurrentIndex(1)
    assert len(box.canvas.figure.axes) == 8
    assert box.tabs.minimumHeight() >= 4 * 150 > short
    box.tabs.setCurrentIndex(0)
    assert box.tabs.maximumHeight() < 4 * 150


@pytest.mark.fault("H17")
def test_a_change_of_theme_recolours_the_plot(qtbot):
    colour = ["#000000"]
    box = ResultBox(SPEC, lambda: colour[0])
    qtbot.addWidget(box)
    box.show_result(result())
    box.tabs.setCurrentIndex(1)
    colour[0] = "#ffffff"
    box.redraw()
    assert box.canvas.figure.axes[0].spines["left"].get_edgecolor() == (1, 1, 1, 1)


def test_no_objects_leave_a_sentence_for_a_plot(box):
    box.show_result(result(areas=()))
    box.tabs.setCurrentIndex(1)
    assert isinstance(box.canvas, QLabel)
    assert box.canvas.text() == "There is nothing to draw."


def test_a_problem_takes_the_place_of_an_answer_until_it_is_cleared(box):
    box.show_problem("The image is <too> small.", "Take a larger one.")
    assert "&lt;too>" in box.number.text()
    assert box.detail.text() == "Take a larger one."
    assert not box.tabs.isVisibleTo(box)
    box.clear_problem()
    assert box.isHidden()
    box.show_result(result())
    box.clear_problem()
    assert not box.isHidden()
