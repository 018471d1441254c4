import numpy as np
import pandas as pd
import pytest

from vitascope.batch.plate.in_words import directions, plate_in_words
from vitascope.core.card import Domain
from vitascope.core.formatting import number_text
from vitascope.engine.domain import WORDS, assess_domain


def frame(*rows):
    return pd.DataFrame(rows, columns=["well", "status", "flags", "message"])


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("value", [-40.0, 3e5])
def test_the_sentences_of_the_model_are_understood(name, value):
    trust, _ = assess_domain(
        Domain(crop_px=64, crops=8, statistics={name: (-0.25, 0.1, 1.5e3)}), [{name: value}], np.zeros((1, 0))
    )
    assert len(directions(trust.reasons)) == 1
    low, high = (directions([trust.reasons[0].replace(number_text(value), v)])[0] for v in ("-1,000", "9,000,000"))
    assert directions(trust.reasons)[0] == (low if value < 0 else high) != (high if value < 0 else low)


def test_a_plate_ends_in_words():
    sharp = "The sharpness is 0.5; training images lie between 0.1 and 0.2."
    rows = [(f"A{i}", "WARN", "pixel_size_unknown;unsure", sharp) for i in range(1, 24)]
    rows.append(("A24", "WARN", "empty_well;unsure", sharp))
    assert plate_in_words(frame(*rows)) == "24 wells done; A24 looks empty; 23 unlike the training wells: sharper"


def test_notes_are_not_told_and_what_failed_is():
    rows = [("B1", "OK", "pixel_size_unknown;tile_reduced", ""), ("B2", "FAILED", "unreadable", "It is no TIFF."),
            ("B3", "REJECTED", "outside_model", ""), ("B10", "INCOMPLETE", "incomplete", "")]  # fmt: skip
    assert plate_in_words(frame(*rows)) == "1 well done; B3 rejected; B2, B10 without a result"
    assert plate_in_words(frame()) == ""


def test_fields_of_a_well_count_once():
    rows = [("C1", "OK", "", ""), ("C1", "FAILED", "unreadable", ""), ("C2", None, None, np.nan)]
    assert plate_in_words(frame(*rows)) == "1 well done"
