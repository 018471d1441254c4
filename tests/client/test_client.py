"""``vitascope.Client``: the same call and the same result as on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

import vitascope
from service_support import FAST, Server, make_field
from tests_support import blobs
from vitascope.client.connection import Connection, ServerError, error_of
from vitascope.core.errors import (
    InputError,
    MemoryShortageError,
    OutputError,
    ParameterError,
    ReaderError,
    VitascopeError,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("service")) as found:
        make_field(found.root / "field.ome.tif")
        yield found


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(server.models))
    return vitascope.Client(server.url)


def check_same(ours, theirs):
    pd.testing.assert_frame_equal(ours.to_dataframe(), theirs.to_dataframe(), check_dtype=False, check_exact=True)
    assert (ours.status, ours.flags, ours.unit) == (theirs.status, theirs.flags, theirs.unit)
    assert ours.trust.level == theirs.trust.level
    assert sorted(one.kind for one in ours.outputs) == sorted(one.kind for one in theirs.outputs)
    for one in ours.outputs:
        other = theirs.output(one.kind)
        np.testing.assert_array_equal(np.asarray(one.array), np.asarray(other.array))
        assert (one.title, one.axes) == (other.title, other.axes)
    same = ("task", "model", "model_sha256", "params", "device", "precision")
    assert all(getattr(ours.provenance, name) == getattr(theirs.provenance, name) for name in same)


@pytest.mark.slow
def test_a_file_and_an_array_give_what_they_give_here(server, client):
    field = server.root / "field.ome.tif"
    check_same(vitascope.run("stain", field, **FAST), client.run("stain", field, **FAST))
    image = vitascope.Micrograph.from_array((200 + 800 * blobs()).astype(np.uint16), axes="YX", pixel_size_um=0.5)
    check_same(vitascope.run("stain", image, **FAST), client.run("stain", image, **FAST))
    both = [run("stain", field, reference=field, **FAST) for run in (vitascope.run, client.run)]
    check_same(*both)
    assert set(both[0].tables) == set(both[1].tables)


@pytest.mark.slow
def test_errors_are_those_of_a_run_here(server, client, tmp_path):
    black = np.full((64, 64), np.nan, np.float32)
    for run in (vitascope.run, client.run):
        with pytest.raises(InputError):
            run("stain", black, **FAST)
        with pytest.raises(ParameterError, match="speed"):
            run("stain", black, **FAST, speed=3)
        with pytest.raises(ParameterError, match="no task"):
            run("eat", black)
        with pytest.raises(ReaderError):
            run("stain", tmp_path / "nothing.tif", **FAST)


@pytest.mark.slow
def test_a_job_is_followed_saved_and_cancelled(server, client, tmp_path):
    job = client.start("stain", files=["field.ome.tif"], **FAST)
    assert client.job(job.id).wait()["state"] == "done"
    assert job.rows()[0]["objects"] >= 0
    saved = job.save(tmp_path / "out")
    assert (saved / "prediction" / "field.ome.tif").is_file()
    with pytest.raises(ParameterError, match="not empty"):
        job.save(tmp_path / "out")
    steps = client.steps("stain", server.root / "field.ome.tif", **FAST)
    next(steps)
    steps.close()
    last = server.ask("GET", "/v1/jobs")[2][0]
    assert server.wait(last["id"])["state"] in ("cancelled", "done")
    assert [one["name"] for one in client.tasks()] == [one.name for one in vitascope.list_tasks()]
    assert "test-model" in [one["id"] for one in client.models("stain")]


def test_answers_become_errors_of_their_kind():
    body = b'{"message": "No.", "hint": "Do.", "flag": "memory"}'
    assert isinstance(error_of(422, body), MemoryShortageError)
    assert isinstance(error_of(500, b"<html>"), OutputError)
    assert error_of(404, b'{"message": "No."}').message == "No."


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ParameterError, match="no address"):
        Connection(url)


def test_a_service_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("vitascope.client.connection._PAUSE_S", 0.0)
    with pytest.raises(VitascopeError, match="does not answer"):
        vitascope.Client("http://127.0.0.1:9").tasks()


class Other(BaseHTTPRequestHandler):
    """Another program, or a service of another version, at the address."""

    body = b""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *words):
        pass


@pytest.mark.parametrize("body", [b"<html>A printer</html>", b"[1]", b'{"name": "stain"}', b'"text"', b"null", b""])
def test_what_answers_otherwise_than_a_service_is_told_from_one(body, tmp_path):
    kind = type("Handler", (Other,), {"body": body})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        client = vitascope.Client(f"http://127.0.0.1:{other.server_port}")
        for ask in (lambda: client.run("stain", "scan.tif"), lambda: client.job("1"), client.version):
            with pytest.raises(ServerError, match="no service, or one of another version"):
                ask()
        other.shutdown()
