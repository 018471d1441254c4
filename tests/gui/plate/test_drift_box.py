"""Drift in the dock of plates: a reference of trusted wells in two clicks, the timeline of a run, and its embedding."""

import datetime
import importlib.util

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from gui_support import now
from tests_support import make_domain, make_model, save_model
from vitascope.batch.drift.references import registered_references
from vitascope.batch.drift.watch import Drift
from vitascope.batch.plate.drift_reference import reference_of_results
from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.results import open_plate_results
from vitascope.batch.plate.run import run_plate
from vitascope.core.progress import run_to_end
from vitascope.core.well import Well
from vitascope.gui.plate.drift_box import DriftBox, DriftChoice
from vitascope.gui.plate.embedding_box import EmbeddingBox
from vitascope.gui.plate.heatmap_box import HeatmapBox
from vitascope.gui.plate.plate_command import plate_command, plate_python
from vitascope.io.plates.read import open_plate
from vitascope.tasks.registry import find_task


def grain(seed, blur=0.0):
    picture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(64, 64)), 1 + blur)
    return (2000 + 3000 * picture / picture.std()).clip(0, 60000).astype(np.uint16)


@pytest.fixture
def plate(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(width=0.25, object_diameter_px=18, domain=make_domain(64)), tmp_path / "models")
    (tmp_path / "plate").mkdir()
    for i in range(24):
        well = f"{'AB'[i // 12]}{i % 12 + 1:02}"
        tifffile.imwrite(tmp_path / "plate" / f"{well}.tif", grain(i, 3.0 if i > 18 else 0))
    return open_plate(tmp_path / "plate")


def job(plate, out, drift=None):
    spec = find_task("stain")
    params = spec.make_params(model="test-model", threads=1, precision="f32")
    return PlateJob(spec=spec, plate=plate, params=params, out=out, drift=drift)


def run(plate, out, drift=None):
    run_to_end(run_plate(job(plate, out, drift)))
    return open_plate_results(out)


def test_trusted_wells_become_a_reference_and_a_run_against_it_has_a_timeline(qtbot, plate, tmp_path):
    box, choice = DriftBox(now), DriftChoice()
    qtbot.addWidget(box)
    qtbot.addWidget(choice)
    assert not box.button.isEnabled()
    assert choice.value() is None
    assert not choice.stop.isEnabled()
    box.set_results(run(plate, tmp_path / "first"))
    assert "compared with nothing" in box.words.text()
    box.button.click()
    assert "name" in box.note.text()
    box.name.setText("good wells")
    with qtbot.waitSignal(box.made):
        box.button.click()
    assert "24 images" in box.note.text()
    assert [name for name, _ in registered_references()] == ["good wells"]
    choice.fill()
    choice.choose("good wells")
    drift = choice.value()
    assert drift.given == "good wells"
    assert "--drift 'good wells'" in plate_command(job(plate, tmp_path / "x", drift))
    assert "drift='good wells'" in plate_python(job(plate, tmp_path / "x", drift))
    box.set_results(run(plate, tmp_path / "second", drift))
    assert "of 24 images" in box.words.text() or "in 24 images" in box.words.text()
    box.resize(400, 500)
    box.show()
    qtbot.waitUntil(lambda: box.plot.canvas is not None)
    axes = box.plot.canvas.figure.axes[0]
    drawn = [line for line in axes.get_lines() if getattr(line, "images", None)]
    assert sum(len(line.images) for line in drawn) == 15  # 24 images, windows of 10
    with qtbot.waitSignal(box.opened) as caught:
        event = type("Picked", (), {"artist": drawn[0], "ind": [0]})
        box._picked(event)
    assert str(caught.args[2]) == drawn[0].images[0].rsplit("_", 1)[1]
    box.view.setCurrentIndex(box.view.findData("months"))
    assert box.plot.canvas.figure.axes[0].get_ylabel().startswith("distance /")


def test_a_drifted_well_has_one_badge_with_its_reason_on_the_heat_map(qtbot, plate, tmp_path):
    trusted = [site.id for site in plate][:20]
    reference = reference_of_results(run(plate, tmp_path / "first").folder, "good", trusted, window=4, ert=32)
    results = run(plate, tmp_path / "second", Drift(reference, 4, 32))
    alarms = results.drift()["alarms"]
    began = alarms[0].rsplit("_", 1)[1]
    box = HeatmapBox()
    qtbot.addWidget(box)
    box.set_results([results])
    assert f"drift since {began}: blurred" in box.words.text()
    last = Well.parse("B12")
    assert results.badges[last].level in ("unsure", "outside")
    assert results.badges[last].reasons[-1].startswith("Drift since")
    assert "blurred" in results.describe(last, "objects")
    assert results.badges[Well.parse("A12")].reasons == ("No drift from 'good'",)
    view = box.panels[0].grid
    assert last in view._badges
    view.resize(400, 300)
    plain = view.grab().toImage()
    view.set_badges({})
    assert view.grab().toImage() != plain


def test_too_few_wells_are_a_sentence(qtbot, plate, tmp_path):
    box = DriftBox(now)
    qtbot.addWidget(box)
    results = run(plate, tmp_path / "first")
    results.frame["role"] = ["negative"] * 5 + [""] * (len(results.frame) - 5)
    box.set_results(results)
    box.which.setCurrentIndex(box.which.findData("negative"))
    box.name.setText("few")
    box.button.click()
    assert "too few" in box.note.text()
    assert registered_references() == []


def test_images_lie_apart_where_they_differ_and_are_clicked_and_lassoed(qtbot, plate, tmp_path):
    results = run(plate, tmp_path / "run")
    results.frame["role"] = ["negative"] * 12 + [""] * 12
    box = EmbeddingBox(now)
    qtbot.addWidget(box)
    box.resize(400, 500)
    box.show()
    assert "open its results" in box.words.text()
    box.set_results([results])
    axes = box.plot.canvas.figure.axes[0]
    drawn = [line for line in axes.get_lines() if getattr(line, "members", None)]
    assert sum(len(line.members) for line in drawn) == 24
    assert "of the variance" in axes.get_xlabel()
    assert "focus" in axes.get_xlabel() + axes.get_ylabel()
    with qtbot.waitSignal(box.opened) as caught:
        box._picked(type("Picked", (), {"artist": drawn[0], "ind": [0]}))
    assert str(caught.args[2]) == box._found.images[drawn[0].members[0]].rsplit("_", 1)[1]
    blurred = [i for i, name in enumerate(box._found.images) if name.rsplit("_", 1)[1] in ("B09", "B10", "B11", "B12")]
    low, high = box._found.places[blurred].min(axis=0) - 1e-6, box._found.places[blurred].max(axis=0) + 1e-6
    heat = HeatmapBox()
    qtbot.addWidget(heat)
    heat.set_results([results])
    box.chosen.connect(heat.choose_wells)
    box.lasso([(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])])
    assert {Well.parse(f"B{n:02}") for n in (9, 10, 11, 12)} <= heat.panels[0].grid.wells
    assert "B12" in box.picked.text()
    listed = [box.strip.item(i) for i in range(box.strip.count())]
    assert {"B09", "B10", "B11", "B12"} <= {item.text() for item in listed}
    assert all(item.icon().availableSizes() for item in listed)
    with qtbot.waitSignal(box.opened) as caught:
        box.strip.itemClicked.emit(listed[0])
    assert str(caught.args[2]) == listed[0].text()
    assert len(heat.panels[0].grid.wells) < 12  # the sharp ones lie elsewhere
    whole = box._found.places.copy()
    box.fitted.setCurrentIndex(box.fitted.findData("negative"))
    assert not np.allclose(box._found.places, whole)
    box.colour.setCurrentIndex(box.colour.findData("role"))
    assert {line.get_label() for line in box.plot.canvas.figure.axes[0].get_lines()} >= {"negative"}
    box.dense.setChecked(True)
    assert len(box.plot.canvas.figure.axes[0].collections) == 2  # lines around both kinds
    box.dense.setChecked(False)
    assert not box.plot.canvas.figure.axes[0].collections
    box.set_results(())
    assert not box.plot.isVisible()


def test_plates_of_one_network_share_a_plane_and_are_coloured_by_place_plate_and_day(qtbot, plate, tmp_path):
    (tmp_path / "later").mkdir()
    for i in range(24):
        well, day = f"{'AB'[i // 12]}{i % 12 + 1:02}", datetime.datetime(2026, 3, 14 + i // 12, 9, i)
        tifffile.imwrite(tmp_path / "later" / f"{well}.tif", grain(100 + i), datetime=day)
    results = [run(plate, tmp_path / "run"), run(open_plate(tmp_path / "later"), tmp_path / "run_later")]
    box, heat = EmbeddingBox(now), HeatmapBox()
    for part in (box, heat):
        qtbot.addWidget(part)
    box.show()
    box.set_results(results)
    heat.set_results(results)
    box.chosen.connect(heat.choose_wells)

    def sizes(column):
        box.colour.setCurrentIndex(box.colour.findData(column))
        lines = box.plot.canvas.figure.axes[0].get_lines()
        return {line.get_label(): len(line.members) for line in lines if getattr(line, "members", None)}

    assert sizes("plate") == {"plate": 24, "later": 24}
    assert sizes("day") == {"2026-03-14": 12, "2026-03-15": 12, "day not told": 24}
    assert sizes("column") == {f"column {n:02}": 4 for n in range(1, 13)}
    wells = sizes("well")
    assert len(wells) == 24
    assert next(iter(wells)) == "A01"  # in the order of the plate, so that shades are too
    assert len(box.plot.canvas.figure.axes[0].get_legend().get_texts()) <= 8
    later = [i for i, k in enumerate(box._found.runs) if k == 1]
    x, y = box._found.places[later[0]]
    box.lasso([(x - 1e-6, y - 1e-6), (x + 1e-6, y - 1e-6), (x + 1e-6, y + 1e-6), (x - 1e-6, y + 1e-6)])
    assert heat.panels[0].grid.wells == set()
    assert heat.panels[1].grid.wells == {Well.parse("A01")}


def test_a_plate_of_another_network_is_left_out_and_said(qtbot, plate, tmp_path):
    first = run(plate, tmp_path / "run")
    save_model(make_model(width=0.25, object_diameter_px=18, domain=make_domain(64), seed=2), tmp_path / "models")
    box = EmbeddingBox(now)
    qtbot.addWidget(box)
    box.show()
    box.set_results([first, run(plate, tmp_path / "other")])
    assert set(box._found.runs) == {1}
    assert "another network" in box.words.text()


def test_a_picture_by_umap_is_made_beside_and_its_clusters_say_what_they_follow(qtbot, plate, tmp_path):
    pytest.importorskip("umap", reason="the extra 'embedding' is not installed")
    waiting = []
    box = EmbeddingBox(lambda work, then: waiting.append((work, then)))
    qtbot.addWidget(box)
    box.show()
    box.set_results([run(plate, tmp_path / "run")])

    def answer(number):
        work, then = waiting[number]
        then(work())

    box.picture.setCurrentIndex(box.picture.findData("umap"))
    assert "a minute" in box.words.text()
    answer(-1)
    shown = box._found
    assert box.plot.canvas.figure.axes[0].get_xlabel().startswith("axis 1 of UMAP")
    answer(-2)  # the principal axes, asked for before, come late: they are not shown
    assert box._found is shown
    box.colour.setCurrentIndex(box.colour.findData("clusters"))
    labels = {line.get_label() for line in box.plot.canvas.figure.axes[0].get_lines()}
    assert any(label.startswith("cluster 1") for label in labels)


def test_what_is_not_installed_is_not_offered(qtbot, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pacmap" else found(name))
    box = EmbeddingBox(now)
    qtbot.addWidget(box)
    assert [box.picture.itemData(i) for i in range(box.picture.count())][-1] == "umap"
    assert "vitascope[embedding]" in box.picture.toolTip()
