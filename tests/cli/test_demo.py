import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from typer.testing import CliRunner

from tests_support import make_model, save_model
from vitascope.cli import demo
from vitascope.cli.main import app
from vitascope.io.results.read import read_results
from vitascope.tasks.stain import SPEC

FILES = {"results.csv", "objects.csv", "agreement.csv", "provenance.json", "input.png", "prediction.png", "labels.png"}


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A network of random weights in place of the bundled model, with all that is measured on a machine given."""
    folder = tmp_path / "models"
    folder.mkdir()
    save_model(make_model(model_id="tiny", planes=7, targets=("DAPI",), object_diameter_px=30.0), folder)
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    given = SPEC.make_params(model="tiny", device="cpu", precision="f32", tile_px=512, threads=1)
    monkeypatch.setattr(type(SPEC), "make_params", lambda self, **values: given)


def run(*arguments):
    return CliRunner().invoke(app, ["demo", *arguments])


def check_folder(folder):
    assert {path.name for path in folder.iterdir()} >= FILES
    saved = read_results(folder)
    assert saved.results["image"].tolist() == ["isl_phase"]
    assert {picture.output.kind for picture in saved.pictures} == {"prediction", "labels"}
    for name in ("input", "prediction", "labels"):
        picture = imagecodecs.png_decode((folder / f"{name}.png").read_bytes())
        assert picture.shape == (512, 512, 3)
        assert picture.std() > 0


def test_headless_writes_results_pictures_and_tables(bundled, tmp_path):
    done = run("--headless", "-o", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "There is no screen" not in done.output
    check_folder(tmp_path / "out")


def test_without_a_screen_it_says_so_and_writes_the_same(bundled, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "why_no_window", lambda: "There is no screen here.")
    done = run("-o", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"There is no screen here. The results go to '{tmp_path / 'out'}' instead.")
    check_folder(tmp_path / "out")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a screen")
def test_a_linux_machine_without_display_has_no_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert demo.why_no_window() == "There is no screen here."


@pytest.mark.parametrize(("absent", "word"), [("napari", "napari"), ("bindings", "napari")])
def test_without_napari_it_says_how_to_get_it(monkeypatch, absent, word):
    monkeypatch.setenv("DISPLAY", ":0")
    gone = {"napari"} if absent == "napari" else {"PySide6", "PyQt6", "PyQt5"}
    real = demo.importlib.util.find_spec
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None if name in gone else real(name))
    assert word in demo.why_no_window()
    assert "pip install" in demo.why_no_window()


@pytest.mark.parametrize(
    ("code", "opens", "says"),
    [(0, True, ""), (1, True, ""), (demo.NO_OPENGL, False, "no OpenGL"), (-6, False, "could not be opened")],
)
def test_a_window_that_could_not_be_opened_is_told_from_one_that_was(monkeypatch, code, opens, says):
    def fake(command, check):
        assert command[1:3] == ["-m", "vitascope.gui.demo"]
        if opens:
            open(command[3], "w").close()  # noqa: PTH123
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(demo.subprocess, "run", fake)
    reason = demo.open_window()
    assert (says in reason) if says else reason == ""


def test_the_demo_window_is_the_one_of_the_docks():
    pytest.importorskip("napari")
    from vitascope.gui import demo as window

    assert (window.__name__, window.NO_OPENGL) == (demo.WINDOW, demo.NO_OPENGL)
    assert window.PHASE == demo.IMAGE


def test_a_window_leaves_no_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "why_no_window", lambda: "")
    monkeypatch.setattr(demo, "open_window", lambda: "")
    assert run().exit_code == 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_sentence(bundled, tmp_path):
    (tmp_path / "file").write_text("x")
    done = run("--headless", "-o", str(tmp_path / "file"))
    assert done.exit_code == 2
    assert "Error:" in done.output
    assert np.all([c in done.output for c in ("file", "Hint:")])
