import math
from dataclasses import replace

import numpy as np
import pytest

from gui_support import make_spec
from vitascope.core.flags import FLAGS
from vitascope.core.formatting import quantity_text
from vitascope.core.result import ImageOutput, Result
from vitascope.core.well import WellPosition
from vitascope.gui.common.result_text import flag_sentences, headline, number_text, summary_table
from vitascope.tasks.registry import find_task


def result(*rows, **kwargs):
    return Result(kwargs.pop("outputs", ()), rows, kwargs.pop("unit", "nuclei"), WellPosition(), "image", **kwargs)


def test_one_number_comes_with_its_unit_and_interval():
    head = headline(
        make_spec(), result({"objects": 82000.0, "objects_low": 61000, "objects_high": 104000}, interval_level=0.9)
    )
    assert (head.number, head.unit, head.detail) == ("82,000", "nuclei", "90% interval 61,000 to 104,000")


def test_several_pictures_give_a_range():
    head = headline(make_spec(), result({"objects": 5}, {"objects": np.int64(3)}, {"objects": math.nan}))
    assert (head.number, head.detail) == ("3 … 5", "least and most of 2 pictures; 1 without a number")
    assert headline(make_spec(), result({"objects": 3}, {"objects": 3})).number == "3"


def test_without_the_number_what_was_predicted_is_named():
    output = ImageOutput("prediction", "predicted", np.zeros((2, 4, 4)), "CYX", ("MAP2", "NFH"))
    head = headline(make_spec(), result({"mean_map2": 0.5}, outputs=(output,)))
    assert (head.number, head.unit) == ("MAP2, NFH", "predicted")
    assert headline(make_spec(), result()).number == "No number"


def test_a_class_comes_first_and_its_probability_behind_it():
    spec = replace(make_spec(), headline="probability", headline_text="predicted")
    rows = [{"predicted": p, "probability": v} for p, v in (("a", 0.913), ("b", 0.6), ("a", 0.7))]
    head = headline(spec, result(rows[0], unit="probability"))
    assert (head.number, head.unit) == ("a", "probability 0.91")
    head = headline(spec, result(*rows, unit="probability"))
    assert (head.number, head.unit, head.detail) == ("a", "in 2 of 3 pictures", "2 a, 1 b")
    assert headline(spec, result({"predicted": "", "probability": math.nan})).number == "No answer"


def test_flags_are_said_in_sentences_without_what_the_badge_says():
    said = flag_sentences(result(flags=("saturated", "unsure", "saturated", "outside_model")))
    assert said == ["More than 1 % of the pixels sit at the end of the scale."]


def test_the_table_leaves_out_pixels_where_micrometres_are_known_and_empty_columns():
    header, cells = summary_table(
        result(
            {
                "time": None,
                "z": 1,
                "objects": 3,
                "mean_area_px": 40.0,
                "mean_area_um2": 10.0,
                "density_per_mm2": math.nan,
            }
        )
    )
    assert header == ["", "Value"]
    assert cells == [["Objects", "3"], ["Mean area (µm²)", "10"]]


def test_the_table_says_the_unit_of_the_main_number_and_what_a_signal_is_of():
    output = ImageOutput("prediction", "predicted", np.zeros((2, 4, 4)), "CYX", ("MAP2", "NF-H"), unit="normalised")
    row = {"objects": 8.1, "objects_low": 7.0, "objects_high": 9.0, "mean_map2": 0.5, "total_nf_h": 7.0, "mean_x": 1.0}
    _, cells = summary_table(result(row, outputs=(output,), unit="RLU"), make_spec())
    assert [name for name, _ in cells] == [
        "Objects (RLU)",
        "Objects, lower end (RLU)",
        "Objects, upper end (RLU)",
        "Mean predicted MAP2 (normalised)",
        "Total predicted NF-H (normalised)",
        "Mean x",
    ]
    _, cells = summary_table(result({"objects": 3}, unit="nuclei"), make_spec())
    assert cells == [["Objects", "3"]]


def test_a_picture_of_one_channel_is_named_once():
    output = ImageOutput("density", "density", np.zeros((2, 4, 4)), "ZYX", ("density",), unit="arbitrary units")
    _, cells = summary_table(result({"mean_density": 0.2}, outputs=(output,)), find_task("spheroid"))
    assert cells == [["Mean cell density (arbitrary units)", "0.2"]]


def test_what_keeps_a_number_from_being_told_comes_first():
    rows = {"viability_percent": math.nan, "viability_low": math.nan, "viability_high": math.nan}
    found = result(rows, flags=("dead_channel_missing", "saturated"), message="The sharpness is 0.03.")
    head = headline(find_task("spheroid"), found)
    assert head.number == "No number"
    assert head.detail.startswith("There is no dead dye: live voxels are given")
    assert head.detail.endswith("The sharpness is 0.03.")
    assert flag_sentences(found) == [FLAGS["saturated"].text]


def test_sizes_in_pixels_stay_where_there_is_nothing_else():
    _, cells = summary_table(result({"mean_area_px": 40.0, "mean_area_um2": math.nan}))
    assert cells == [["Mean area (px²)", "40"]]


def test_several_pictures_stand_side_by_side():
    header, cells = summary_table(result({"time": 0, "z": 2, "objects": 3}, {"time": 1, "z": 2, "objects": None}))
    assert header == ["", "t 0 z 2", "t 1 z 2"]
    assert cells == [["Objects", "3", "–"]]


def test_the_real_stain_stands_beside_the_prediction():
    header, cells = summary_table(result({"objects": 3, "pcc": 0.8512, "real_objects": 4}))
    assert header == ["", "Predicted", "Real"]
    assert cells == [["Objects", "3", "4"], ["Pearson of pixels", "0.851", ""]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (0.5, "0.5"),
        (1e-7, "1.00e-07"),
        (True, "–"),
        ("x", "–"),
        (math.inf, "–"),
        (1234.56, "1,234.6"),
        (np.float32(0.25), "0.25"),
        (-3.0, "-3"),
    ],
)
def test_numbers_are_written_as_people_do(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("volume_um3", "Volume (µm³)"),
        ("viability_percent", "Viability (%)"),
        ("foreground_fraction", "Foreground (share)"),
        ("objects", "Objects"),
        ("perimeter_um", "Perimeter (µm)"),
    ],
)
def test_columns_become_words_with_units(column, text):
    assert quantity_text(column) == text


def test_an_interval_is_rounded_to_what_it_tells():
    row = {"objects": 82345.6, "objects_low": 61210.0, "objects_high": 103960.0}
    head = headline(make_spec(), result(row))
    assert head.number == "82,000"
    assert head.detail.endswith("61,000 to 104,000")


def test_a_number_that_is_not_given_is_not_made_up():
    head = headline(make_spec(), result({"objects": math.nan}))
    assert (head.number, head.unit) == ("No number", "")


def test_many_pictures_have_a_line_each():
    header, cells = summary_table(result(*({"time": t, "objects": t * 10} for t in range(6))))
    assert len(header) == 2
    assert [c[0] for c in cells] == [f"t {t}" for t in range(6)]
    assert [c[1] for c in cells] == ["0", "10", "20", "30", "40", "50"]


def test_classes_are_spelt_as_the_model_names_them():
    maps = ImageOutput("maps", "evidence", np.zeros((2, 4, 4)), "CYX", ("G1", "Anaphase II"))
    row = {"prob_g1": 0.75, "prob_anaphase_ii": 0.25}
    result = Result((maps,), (row,), "cells", WellPosition(), "image", "OK", ())
    _, cells = summary_table(result)
    assert [line[0] for line in cells] == ["Probability of G1", "Probability of Anaphase II"]
