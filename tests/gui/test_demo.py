import pytest

from vitascope.gui import demo


@pytest.mark.gui
def test_the_window_has_sample_dock_and_run(make_napari_viewer, qtbot, fake_card):
    viewer = make_napari_viewer()
    dock = demo.start(viewer)
    assert dock.input.main.currentText() == "isl_phase"
    assert dock.input.layer_boxes["reference"].currentText() == demo.STAIN_LAYER
    assert [layer.name for layer in viewer.layers if layer.visible] == ["isl_phase"]
    assert dock.runner.running
    with qtbot.waitSignal(dock.runner.ended, timeout=20_000):
        dock.runner.cancel()


def test_without_opengl_it_says_so_by_its_exit_code(qapp, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "can_draw", lambda: False)
    assert demo.main(tmp_path / "opened") == demo.NO_OPENGL
    assert not (tmp_path / "opened").exists()
