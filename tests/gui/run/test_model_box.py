import pytest
from qtpy.QtWidgets import QApplication

from gui_support import make_card
from vitascope.core.result import Trust
from vitascope.gui.common.trust import LOOKS
from vitascope.gui.run.model_box import AUTO_LINE, CardWindow, ModelBox, card_html, card_line
from vitascope.io.models.cards import write_card


@pytest.fixture
def box(qtbot, fake_card):
    found = ModelBox("fake")
    qtbot.addWidget(found)
    return found


def ids(box):
    return [box.model.itemData(i) for i in range(box.model.count())]


def test_the_models_of_the_task_are_offered_with_one_line_of_their_card(box, fake_card):
    assert ids(box) == ["fake-model"]
    assert box.card() == fake_card
    assert box.line.text() == "Trained on nothing; PCC 0.853 (0.820 to 0.880)."
    assert box.value() == {"model": "fake-model", "device": "auto"}


def test_automatic_comes_first_where_models_are_bundled(qtbot, tmp_path, monkeypatch, fake_card):
    monkeypatch.setattr("vitascope.gui.run.model_box.BUNDLED_MODELS", tmp_path / "models")
    box = ModelBox("fake")
    qtbot.addWidget(box)
    assert ids(box) == ["auto", "fake-model"]
    assert box.value()["model"] == "auto"
    assert (box.card(), box.line.text(), box.details.isEnabled()) == (None, AUTO_LINE, False)
    box.show_used("fake-model")
    assert box.line.text().startswith("fake-model: Trained on nothing")
    assert box.details.isEnabled()
    box.model.setCurrentIndex(1)
    box.model.setCurrentIndex(0)
    assert box.line.text() == AUTO_LINE


def test_a_new_model_is_offered_and_the_choice_stays(box, tmp_path):
    write_card(make_card("another"), tmp_path / "models")
    box.reload()
    assert ids(box) == ["another", "fake-model"]
    assert box.model.currentData() == "fake-model"


def test_without_models_it_says_so(qtbot):
    box = ModelBox("nothing")
    qtbot.addWidget(box)
    assert box.line.text() == "There are no models for this task."
    assert not box.details.isEnabled()


def test_the_metric_is_not_said_twice():
    card = make_card().model_copy(update={"summary": "Trained on nothing; PCC 0.85"})
    assert card_line(card) == "Trained on nothing; PCC 0.85"


def test_the_card_window_shows_all_that_is_known_as_plain_text(qtbot, box):
    box.show_details()
    window = next(w for w in QApplication.topLevelWidgets() if isinstance(w, CardWindow))
    text = window.text.toPlainText()
    for said in ("Always.", "CC0-1.0", "<nobody & no one>", "test rows, n = 5", "0" * 64, "phase contrast"):
        assert said in text
    window.close()


def test_markup_in_a_card_is_not_obeyed():
    html = card_html(make_card().model_copy(update={"limitations": "<img src=x>"}))
    assert "<img" not in html
    assert "&lt;img" in html


@pytest.mark.parametrize("level", list(LOOKS))
def test_trust_is_told_by_sign_word_and_reason_not_by_colour_alone(box, level):
    box.show_trust(Trust(level, ("Because.",)))
    look = LOOKS[level]
    assert look.sign in box.badge.text()
    assert look.words in box.badge.text()
    assert box.badge.toolTip() == box.reason.text() == "Because."
    assert "Because." in box.badge.accessibleName()


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("level", list(LOOKS))
def test_the_badge_can_be_read(level):
    # contrast of white text, as the accessibility guidelines define it: 4.5 for plain, 3 for bold text
    assert 1.05 / (luminance(LOOKS[level].colour) + 0.05) >= 4.0
    assert len({look.sign for look in LOOKS.values()}) == len(LOOKS)
