"""Servers as docks know them: kept for one user, listed with the devices, and a run there is a run here."""

import stat
import sys

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Layer

import vitascope
from gui_support import at_once, now, settle
from service_support import FAST, make_field
from service_support import Server as Service
from tests_support import blobs, make_model, save_model
from vitascope.batch.plate.results import open_plate_results
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.paths import servers_file
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.atp_dock import AtpDock
from vitascope.gui.docks.plate_dock import PlateDock
from vitascope.gui.docks.stain_dock import StainDock
from vitascope.gui.docks.train_dock import HERE
from vitascope.gui.docks.wells_dock import NOT_SENT
from vitascope.gui.reader import read
from vitascope.gui.run.device_box import ANOTHER, SERVER, DeviceBox
from vitascope.gui.run.export import as_command, as_python
from vitascope.gui.run.model_box import ModelBox
from vitascope.gui.run.server_dialog import ServerQuestion
from vitascope.gui.run.servers import Server, forget_server, keep_server, read_servers

TOKEN = "s3cret-token-of-ann"


@pytest.fixture(autouse=True)
def _no_servers(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_SERVERS", str(tmp_path / "own" / "servers.json"))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    import torch

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("service")
    tokens = folder / "tokens"
    tokens.write_text(f"ann run {TOKEN}\n")
    tokens.chmod(0o600)
    with Service(folder, "--token-file", tokens) as found:
        yield found


@pytest.fixture
def make_dock(viewer, service, monkeypatch, qtbot):
    """Open a dock at once on a picture in memory; what it launches is done where it is asked for."""
    monkeypatch.setenv("VITASCOPE_MODELS", str(service.models))
    monkeypatch.setattr("vitascope.gui.docks.task_dock.in_background", now)
    docks = []

    def make(kind=StainDock, layer=None):
        image = (200 + 1000 * blobs((96, 112))).astype(np.uint16)
        viewer.add_layer(layer or Image(image, name="field", scale=(0.5, 0.5), units=("um", "um")))
        dock = kind(viewer, Runner(at_once, activity=False))
        docks.append(dock)
        return dock

    yield make
    for dock in docks:
        dock.close_down()
    settle()


def on_server(dock, service, token=TOKEN):
    server = Server.typed(service.url, token)
    keep_server(server)
    dock.model.device.choose(server.url)
    return server


def set_fast(dock, **more):
    values = {n: v for n, v in {**FAST, **more}.items() if n not in ("model", "device")}
    dock.settings.setValue(dock.settings.value().changed(**values))
    dock.model.model.setCurrentIndex(dock.model.model.findData("test-model"))


def shown(viewer):
    """All that is shown of a run: pixels, place and look of each layer."""
    return {
        layer.name: (
            np.asarray(layer.data),
            layer.scale.tolist(),
            getattr(layer, "contrast_limits", None),
            layer.visible,
        )
        for layer in viewer.layers
        if layer.name != "field"
    }


@pytest.mark.slow
def test_a_run_on_a_server_shows_what_a_run_here_shows(viewer, make_dock, service, caplog):
    dock = make_dock()
    set_fast(dock)
    dock.run()
    here, first = dock.export_box._run.result, shown(viewer)
    for layer in [one for one in viewer.layers if one.name != "field"]:
        viewer.layers.remove(layer)
    server = on_server(dock, service)
    assert dock.model.device.currentText() == server.name
    assert not dock.answer.stale.isHidden()  # another question: where it is run
    stages = []
    dock.runner.progressed.connect(lambda progress, _: stages.append(progress.stage))
    dock.run()
    run, second = dock.export_box._run, shown(viewer)
    pd.testing.assert_frame_equal(here.to_dataframe(), run.result.to_dataframe(), check_dtype=False, check_exact=True)
    assert (run.result.name, run.result.flags, run.result.status) == (here.name, here.flags, here.status)
    assert list(first) == list(second)
    assert "test-model" in str(run.result.provenance.model)
    for name, (pixels, *look) in first.items():
        np.testing.assert_array_equal(pixels, second[name][0])
        assert list(second[name][1:]) == look
    assert f"Sending to {server.name}" in stages
    said = [run.result.provenance.model_dump_json(), repr(run), caplog.text, str(dock.question())]
    assert not any(TOKEN in text for text in said)


@pytest.mark.slow
def test_copied_python_names_the_server_and_never_the_token(viewer, make_dock, service, tmp_path, monkeypatch):
    path = make_field(tmp_path / "field.ome.tif")
    dock = make_dock(layer=Layer.create(*read(str(path))[0]))
    set_fast(dock)
    on_server(dock, service)
    dock.run()
    run = dock.export_box._run
    code = as_python(run)
    assert f'vitascope.Client(\'{service.url}\', token=os.environ["VITASCOPE_TOKEN"]).run("stain", image' in code
    assert TOKEN not in code
    monkeypatch.setenv("VITASCOPE_TOKEN", TOKEN)
    found = {}
    exec(code, found)
    pd.testing.assert_frame_equal(found["result"].to_dataframe(), run.result.to_dataframe(), check_exact=True)
    with pytest.raises(InputError, match="made on a server"):
        as_command(run)
    dock.export_box.save_to(tmp_path / "out")
    files = [one for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert files
    assert not any(TOKEN.encode() in one.read_bytes() for one in files)


@pytest.mark.slow
def test_a_closed_run_cancels_the_job(service, monkeypatch):
    from vitascope.tasks import stain

    monkeypatch.setenv("VITASCOPE_MODELS", str(service.models))
    image = vitascope.Micrograph.from_array((200 + 800 * blobs((1500, 1500))).astype(np.uint16), axes="YX")
    params = stain.SPEC.make_params(**FAST)
    steps = Server.typed(service.url, TOKEN).steps(stain.SPEC, {"image": image}, params)
    next(steps)
    steps.close()
    client = vitascope.Client(service.url, TOKEN)
    assert client.models("stain")
    newest = service.ask("GET", "/v1/jobs", Authorization=f"Bearer {TOKEN}")[2][0]["id"]
    job = client.job(newest)
    for _ in range(600):
        if (state := job.describe()["state"]) in ("done", "failed", "cancelled"):
            break
        settle()
    assert state == "cancelled"


@pytest.mark.slow
def test_a_model_that_is_not_there_or_another_one_is_told_before_the_click(make_dock, service, tmp_path, monkeypatch):
    own = tmp_path / "models"
    save_model(make_model(model_id="mine", width=0.25, object_diameter_px=18), own)
    save_model(make_model(width=0.5, object_diameter_px=18), own)
    monkeypatch.setenv("VITASCOPE_MODELS", str(own))
    dock = make_dock()
    on_server(dock, service)
    dock.model.model.setCurrentIndex(dock.model.model.findData("mine"))
    assert "has no model 'mine'. It has:" in dock.status.text()
    assert not dock.run_button.isEnabled()
    dock.model.model.setCurrentIndex(dock.model.model.findData("test-model"))
    assert "weights differ" in dock.status.text()
    dock.model.device.setCurrentIndex(0)
    assert dock.run_button.isEnabled()


@pytest.mark.slow
def test_errors_of_the_service_are_sentences(make_dock, service):
    dock = make_dock()
    set_fast(dock)
    on_server(dock, service, "wrong")
    dock.run()
    assert "token" in dock.answer.number.text().lower() + dock.answer.detail.text().lower()
    assert dock.run_button.isEnabled()


def test_several_images_are_not_sent_and_that_is_said_before_the_click(viewer, make_dock, service):
    dock = make_dock(AtpDock)
    viewer.add_image(np.ones((96, 112), np.uint16), name="other")
    viewer.layers.selection = set(viewer.layers)
    on_server(dock, service)
    assert dock.input.each()
    assert NOT_SENT in (dock.problem(), dock.status.text())


def test_a_server_is_kept_for_the_user_alone_and_forgotten(qtbot):
    assert read_servers() == {}
    keep_server(Server.typed("node17:8765/", TOKEN))
    keep_server(Server.typed("https://ann:pw@core.example/vita/"))
    assert list(read_servers()) == ["http://node17:8765", "https://core.example/vita"]
    assert TOKEN not in repr(read_servers())
    if sys.platform != "win32":
        assert stat.S_IMODE(servers_file().stat().st_mode) == 0o600
    forget_server("http://node17:8765")
    assert TOKEN not in servers_file().read_text()
    servers_file().write_text("[]")
    assert read_servers() == {}
    with pytest.raises(ParameterError, match="no address"):
        Server.typed("ftp://x")


def test_the_list_ends_with_server_and_a_kept_one_stands_before_it(qtbot):
    box, plain = DeviceBox(True), DeviceBox(False)
    for one in (box, plain):
        qtbot.addWidget(one)
    assert box.itemText(box.count() - 1) == SERVER
    assert plain.findData(ANOTHER) == -1
    told = []
    box.deviceChanged.connect(lambda: told.append(box.value()))
    box.setCurrentIndex(box.count() - 1)
    question = box.findChild(ServerQuestion)
    assert (box.currentData(), told) == ("auto", [])
    question.url.setText("node17:8765")
    question.token.setText(TOKEN)
    question.accept()
    assert (box.currentText(), box.itemText(box.count() - 1), told) == ("node17:8765", SERVER, ["auto"])
    assert box.server() == Server("http://node17:8765", TOKEN)
    box.setCurrentIndex(box.count() - 1)
    question = box.findChildren(ServerQuestion)[-1]
    assert question.url.text() == "http://node17:8765"
    question.drop()
    assert (box.server(), box.currentData(), read_servers()) == (None, "auto", {})


def test_the_form_tells_whether_the_server_answers(qtbot, service, monkeypatch):
    monkeypatch.setattr("vitascope.client.connection._PAUSE_S", 0.0)
    question = ServerQuestion(launch=now)
    qtbot.addWidget(question)
    assert not question.test.isEnabled()
    for url, token, said in (
        (service.url, TOKEN, "answers, and runs"),
        (service.url, "wrong", "token"),
        ("http://127.0.0.1:9", "", "does not answer"),
        ("ftp://x", "", "no address"),
    ):
        question.url.setText(url)
        question.token.setText(token)
        question.try_it()
        assert said in question.said.text()
        assert TOKEN not in question.said.text()


def test_a_plate_runs_on_a_server_from_its_dock(viewer, service, tmp_path, monkeypatch, qtbot):
    monkeypatch.setenv("VITASCOPE_MODELS", str(service.models))
    for number, well in enumerate(("A01", "A02", "B01")):
        make_field(tmp_path / "plate" / f"p_{well}.ome.tif", gain=700 + 100 * number)
    dock = PlateDock(viewer, Runner(at_once, activity=False), now)
    dock.input.open(tmp_path / "plate", "plate")
    box = dock.run
    box.task.setCurrentIndex(box.task.findData("stain"))
    assert box.fold.isEnabled()
    server = Server.typed(service.url, TOKEN)
    keep_server(server)
    box.model.device.choose(server.url)
    assert not box.fold.isEnabled()
    assert not box.server_note.isHidden()
    set_fast(box)
    out = tmp_path / "out"
    box.out.setText(str(out))
    command = box.job().command
    assert f"--scheduler {service.url}" in command
    assert TOKEN not in command
    box.run()
    assert box.status.text().startswith("Done: 3 "), box.status.text()
    assert sorted(open_plate_results(out).frame["well"]) == ["A01", "A02", "B01"]
    assert dock.results[-1].folder == out
    box.model.device.setCurrentIndex(0)
    assert box.fold.isEnabled()
    dock.close_down()
    settle()


def test_train_says_that_a_server_makes_no_models(viewer, qtbot, service, monkeypatch):
    keep_server(Server.typed(service.url, TOKEN))
    box = ModelBox("stain", unchosen="", no_server=HERE)
    assert not box.no_server.isHidden()
    assert "Training runs on this machine" in box.no_server.text()
    assert box.device.findText(SERVER) < 0
    forget_server(Server.typed(service.url).url)
    box.reload()
    assert box.no_server.isHidden()
