"""What the dock offers where too little agreement is expected."""

from dataclasses import replace

import numpy as np
import pytest

from tests_support import blobs, make_domain, make_model, save_model
from vitascope.core.card import ExpectedAgreement
from vitascope.gui.docks.stain_dock import StainDock


def told(intercept):
    return ExpectedAgreement(
        statistics=("flip",), mean=(0.0,), spread=(1.0,), weights=(0.0,), intercept=intercept, low_by=-0.1, high_by=0.1,
        views=9, laboratories=("a", "b", "c"),
    )  # fmt: skip


@pytest.fixture
def dock(make_dock, viewer, tmp_path, monkeypatch):
    def make(intercept):
        import torch

        torch.manual_seed(1)
        monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
        model = make_model(model_id="told", width=0.25, object_diameter_px=18, domain=make_domain())
        model = replace(model, card=model.card.model_copy(update={"expected": told(intercept)}))
        save_model(model, tmp_path / "models")
        viewer.add_image((200 + 1000 * blobs((220, 230))).astype(np.uint16), name="field")
        made = make_dock(kind=StainDock)
        made.show_model("told")
        for name, value in {"invert": "no", "min_contrast": 0.0, "threads": 1, "tile_px": 512}.items():
            made.settings.editors[name].setValue(value)
        return made

    return make


def test_numbers_held_back_are_shown_anyway_in_one_click(dock):
    made = dock(0.2)
    made.run()
    assert not made.help.isHidden()
    assert not made.anyway.isHidden()
    assert "Number held back" in made.answer.number.text()
    made.anyway.click()
    assert "held back" not in made.answer.number.text()
    assert made.settings.value().abstain is False
    assert made.anyway.isHidden()
    assert not made.help.isHidden()


def test_an_image_that_fits_needs_no_help(dock):
    made = dock(2.0)
    made.run()
    assert "held back" not in made.answer.number.text()
    assert made.help.isHidden()


def test_train_is_not_opened_where_there_is_no_window(dock):
    assert dock(0.2).open_train() is None
