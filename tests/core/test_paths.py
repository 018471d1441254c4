import os
from pathlib import Path

import pytest

from vitascope.core import paths as folders


def test_the_environment_names_the_users_folder_and_those_of_the_lab(monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", os.pathsep.join(["/mine", "/lab", "", "/old"]))
    assert folders.user_models() == Path("/mine")
    assert folders.shared_models() == [Path("/lab"), Path("/old")]


def test_a_lab_folder_alone_leaves_the_users_own_where_it_is(monkeypatch):
    monkeypatch.delenv("VITASCOPE_MODELS")
    own = folders.user_models()
    monkeypatch.setenv("VITASCOPE_MODELS", f"{os.pathsep}/lab")
    assert folders.user_models() == own
    assert folders.shared_models() == [Path("/lab")]


@pytest.mark.parametrize("name", ["VITASCOPE_CACHE", "VITASCOPE_DATA"])
def test_cache_and_data_can_be_named(monkeypatch, name):
    monkeypatch.setenv(name, "/elsewhere")
    found = {"VITASCOPE_CACHE": folders.cache, "VITASCOPE_DATA": folders.training_data}[name]()
    assert found == Path("/elsewhere")


def test_without_a_data_folder_there_is_none(monkeypatch):
    monkeypatch.delenv("VITASCOPE_DATA", raising=False)
    assert folders.training_data() is None


def test_no_folder_is_made_by_asking(monkeypatch, tmp_path):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    folders.user_models(), folders.cache()
    assert list(tmp_path.iterdir()) == []
