import os

import pytest

from tests_support import make_card
from vitascope.core.errors import ModelError, OutputError, ParameterError
from vitascope.io.models import cards as models
from vitascope.io.models.cards import (
    check_model_id,
    find_card,
    find_cards,
    find_model,
    list_cards,
    own_models,
    read_card,
    write_card,
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A bundled folder, the user's and a lab's, all empty."""
    found = {name: tmp_path / name for name in ("bundled", "mine", "lab")}
    for folder in found.values():
        folder.mkdir()
    monkeypatch.setattr(models, "BUNDLED_MODELS", found["bundled"])
    monkeypatch.setenv("VITASCOPE_MODELS", os.pathsep.join([str(found["mine"]), str(found["lab"])]))
    return found


def test_bundled_models_come_first_then_the_users_then_the_labs(folders):
    for model, places in {"c": ("lab",), "b": ("mine", "lab"), "a": ("bundled", "mine", "lab")}.items():
        for place in places:
            write_card(make_card(model), folders[place])
    assert {k: p.parent.name for k, p in find_cards().items()} == {"a": "bundled", "b": "mine", "c": "lab"}
    assert [c.id for c in list_cards("stain")] == ["a", "b", "c"]
    card, weights = find_model("b", "stain")
    assert card == make_card("b")
    assert weights == folders["mine"] / "b.safetensors"


def test_only_models_of_the_task_are_listed(folders):
    write_card(make_card("a"), folders["mine"])
    write_card(make_card("w", task="atp"), folders["mine"])
    assert list(find_cards("atp")) == ["w"]


@pytest.mark.fault("D14")
def test_a_model_for_another_task_is_refused_naming_both_and_what_there_is(folders):
    write_card(make_card("nuclei"), folders["mine"])
    write_card(make_card("organoids", task="atp"), folders["mine"])
    with pytest.raises(ModelError, match="for the task 'stain', not 'atp'") as caught:
        find_model("nuclei", "atp")
    assert "organoids" in caught.value.hint


def test_a_model_that_is_not_there_is_said_so_with_those_that_are(folders):
    write_card(make_card("nuclei"), folders["mine"])
    with pytest.raises(ParameterError, match="no model 'nuklei'") as caught:
        find_model("nuklei", "stain")
    assert caught.value.hint == "Models at hand: nuclei."


@pytest.mark.parametrize("model", ["../mine/nuclei", "/etc/passwd", "a/b", "", "A", "x" * 65, "nuclei\n", "."])
@pytest.mark.fault("D19")
def test_a_name_cannot_leave_the_folders_of_models(folders, model):
    write_card(make_card("nuclei"), folders["mine"])
    with pytest.raises(ParameterError, match="no model"):
        find_card(model)


def test_a_path_names_a_card_anywhere(folders, tmp_path):
    path = write_card(make_card("far"), tmp_path / "elsewhere")
    card, weights = find_model(str(path))
    assert card.id == "far"
    assert weights.parent == path.parent


@pytest.mark.parametrize("text", [b"", b"{}", b"\x80\x04pickle", b"[]"])
@pytest.mark.fault("D16")
def test_a_broken_card_is_left_out_of_the_list_and_refused_by_name(folders, text):
    (folders["mine"] / "bad.json").write_bytes(text)
    write_card(make_card("good"), folders["mine"])
    assert list(find_cards()) == ["good"]
    with pytest.raises(ModelError, match=r"bad\.json is not valid"):
        find_model("bad")


def test_a_card_under_another_name_than_its_id_is_not_taken_for_either(folders):
    write_card(make_card("inner"), folders["mine"]).rename(folders["mine"] / "outer.json")
    assert list(find_cards()) == []
    with pytest.raises(ModelError, match=r"'outer\.json' is that of a model 'inner'"):
        find_model("outer")
    with pytest.raises(ParameterError, match="no model 'inner'"):
        find_model("inner")


def test_a_card_that_is_gone_or_too_large_is_said_so(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"gone\.json cannot be read: No such file"):
        read_card(tmp_path / "gone.json")
    path = write_card(make_card("a"), tmp_path)
    monkeypatch.setattr(models, "MAX_CARD_BYTES", 100)
    with pytest.raises(ModelError, match="too large"):
        read_card(path)


def test_a_card_is_written_whole_as_its_id(tmp_path):
    card = make_card("mine", targets=("DNA", "actin"))
    path = write_card(card, tmp_path / "new" / "folder")
    assert path.name == "mine.json"
    assert read_card(path) == card
    assert [p.name for p in path.parent.iterdir()] == ["mine.json"]


def test_folders_that_are_not_there_hold_no_models(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "BUNDLED_MODELS", tmp_path / "no")
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "nor this"))
    assert find_cards() == {}
    with pytest.raises(ParameterError, match="There are no models"):
        find_model("any")


@pytest.mark.parametrize("name", ["a.json", "a.safetensors", "a.", "nul", "com1.x", "prn", "A", "a/b", ""])
def test_names_that_some_system_takes_for_something_else_are_refused(name):
    with pytest.raises(ParameterError, match="no name for a model"):
        check_model_id(name)
    check_model_id("console-2.old")


def test_a_models_folder_that_is_a_link_is_not_written_through(folders, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(folders["mine"], target_is_directory=True)
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "link"))
    with pytest.raises(OutputError, match="is a link"):
        own_models()
    monkeypatch.setenv("VITASCOPE_MODELS", str(folders["mine"]))
    assert own_models() == folders["mine"]


def test_a_card_that_is_a_link_out_of_its_folder_is_no_model(folders, tmp_path):
    path = write_card(make_card("elsewhere"), tmp_path / "other")
    (folders["mine"] / "elsewhere.json").symlink_to(path)
    assert "elsewhere" not in find_cards()
    with pytest.raises(ModelError, match="link out of its folder"):
        read_card(folders["mine"] / "elsewhere.json")
