import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from vitascope.cli.main import app
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.progress import run_to_end
from vitascope.io.models.fetch import Entry, fetch, read_list

DATA = bytes(range(256)) * 12_000


class Shelf(BaseHTTPRequestHandler):
    """Gives DATA, or a part of it; breaks off where it is told to."""

    asked: list = []
    break_after = None

    def do_GET(self):
        told = self.headers.get("Range")
        type(self).asked.append(told)
        start = int(told.removeprefix("bytes=").rstrip("-")) if told else 0
        self.send_response(206 if told else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        end = len(DATA) if type(self).break_after is None else start + type(self).break_after
        self.wfile.write(DATA[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def address():
    Shelf.asked, Shelf.break_after = [], None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/net.onnx"
    server.shutdown()
    server.server_close()


def entry(url, sha256=None):
    return Entry("net", "a laboratory", "MIT", url, sha256 or hashlib.sha256(DATA).hexdigest())


def test_a_broken_download_goes_on_where_it_stopped(address, tmp_path):
    Shelf.break_after = 1_000_000
    with pytest.raises(ModelError, match="ended early"):
        run_to_end(fetch(entry(address), tmp_path, tmp_path))
    assert not (tmp_path / "net.onnx").exists()
    have = (tmp_path / "net.onnx.part").stat().st_size
    assert have == 1_000_000
    Shelf.break_after = None
    path = run_to_end(fetch(entry(address), tmp_path, tmp_path))
    assert path.read_bytes() == DATA
    assert Shelf.asked == [None, f"bytes={have}-"]
    assert run_to_end(fetch(entry(address), tmp_path, tmp_path)) == path
    assert len(Shelf.asked) == 2  # what is there and right is not fetched again


def test_another_file_than_the_lists_is_not_kept(address, tmp_path):
    with pytest.raises(ModelError, match="SHA-256"):
        run_to_end(fetch(entry(address, "0" * 64), tmp_path, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_file_brought_in_another_way_asks_no_network(address, tmp_path):
    (tmp_path / "brought.bin").write_bytes(DATA)
    path = run_to_end(fetch(entry(address), tmp_path / "out", tmp_path, tmp_path / "brought.bin"))
    assert path.read_bytes() == DATA
    assert not Shelf.asked


def test_the_command_asks_for_consent(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sha256 = hashlib.sha256(DATA).hexdigest()
    (tmp_path / "list.csv").write_text(f"name,source,licence,url,sha256\nnet,a laboratory,MIT,{address},{sha256}\n")
    invoke = CliRunner().invoke
    done = invoke(app, ["models", "fetch", "--list", "list.csv"], input="n\n")
    assert done.exit_code == 0
    assert "licence MIT" in done.output
    assert not (tmp_path / "net.onnx").exists()
    assert invoke(app, ["models", "fetch", "--list", "list.csv"], input="").exit_code == 2
    assert not Shelf.asked
    done = invoke(app, ["models", "fetch", "--list", "list.csv", "--yes"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "net.onnx").read_bytes() == DATA


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {name: a, source: s, licence: MIT, url: x.onnx}", "no sha256"),
        ("- {name: ../a, source: s, licence: MIT, url: x.onnx, sha256: " + "a" * 64 + "}", "no name"),
        ("- {name: a, source: s, licence: MIT, url: 'file:///etc/passwd', sha256: " + "a" * 64 + "}", "none of http"),
        ("- {name: a, source: s, licence: MIT, url: x.onnx, sha256: abc}", "is none"),
        ("nothing: here", "lists no models"),
        ("[", "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(tmp_path, text, told):
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(ParameterError, match=told):
        read_list(tmp_path / "list.yaml")
