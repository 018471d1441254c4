"""What is small or endless and would cost a service its memory, disk or time."""

import io
import os
import secrets
import socket
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from service_support import Server, make_field
from vitascope.core.errors import ReaderError
from vitascope.io.images.read import read_image
from vitascope.io.tables.read import read_table
from vitascope.serve.tokens import find_token, hash_token, read_tokens

RIGHT = "the-right-token-0123456789"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    (folder / "tokens").write_text(f"ann run {RIGHT}\n")
    with Server(folder, "--token-file", folder / "tokens") as found:
        make_field(found.root / "field.ome.tif")
        yield found


HEADERS = {"Authorization": f"Bearer {RIGHT}"}


def taken(server):
    """Bytes of uploads on the disk, of files without a name too."""
    open_ones = 0
    for fd in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            if "(deleted)" in str(fd.readlink()):
                open_ones += fd.stat().st_size
        except OSError:
            continue
    return open_ones + sum(path.stat().st_size for path in (server.data / "incoming").iterdir())


@pytest.mark.slow
@pytest.mark.fault("I08")
def test_wrong_tokens_lock_nobody_out_and_cost_no_memory(server):
    memory, answers = psutil.Process(server.process.pid).memory_info, Counter()
    server.ask("GET", "/v1/jobs", Authorization="Bearer no")
    before = memory().rss
    for number in range(600):
        wrong = secrets.token_urlsafe(32) if number % 2 else RIGHT[:-1] + "x"
        answers[server.ask("GET", "/v1/jobs", Authorization=f"Bearer {wrong}")[0]] += 1
        if number % 60 == 0:
            answers[server.ask("GET", "/v1/jobs", **HEADERS)[0]] += 1
    assert answers == {401: 600, 200: 10}
    assert memory().rss - before < 30 << 20


def test_every_token_is_compared_whatever_came_before(tmp_path, monkeypatch):
    (tmp_path / "tokens").write_text("".join(f"user{n} run token-number-{n:04d}-0123456789\n" for n in range(50)))
    known, compared = read_tokens(tmp_path / "tokens"), []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((len(a), len(b))) or a == b)
    for given in ("token-number-0000-0123456789", "token-number-0049-0123456789", "nothing", ""):
        found = find_token(known, given)
        assert (found is not None) == (hash_token(given) in {one.hashed for one in known})
    assert compared == [(64, 64)] * 200


@pytest.mark.slow
@pytest.mark.fault("I02")
@pytest.mark.parametrize("how", ["Content-Length: 10000000000", "Transfer-Encoding: chunked"])
def test_ten_gigabytes_without_a_token_are_refused_before_they_are_taken(server, how):
    """The first answer is that nobody knows who asks: not a byte of the body is kept."""
    address = urlsplit(server.url)
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n{how}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=60) as there:
        there.sendall(head.encode())
        said = there.recv(4096)
    assert said.split(b" ", 2)[1] in (b"413", b"401")
    assert taken(server) == 0


@pytest.mark.slow
@pytest.mark.fault("I02")
def test_a_declared_upload_of_ten_gigabytes_is_413_at_once(server):
    address = urlsplit(server.url)
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {RIGHT}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 10000000000\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=60) as there:
        there.sendall(head.encode())
        said = b""
        while b"too_large" not in said and (more := there.recv(4096)):  # head and body may come apart
            said += more
        there.settimeout(10)
        assert b"413" in said.split(b"\r\n")[0]
        assert b'"flag":"too_large"' in said
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            there.sendall(bytes(2 << 30))
    assert taken(server) == 0
    assert server.ask("GET", "/health")[0] == 200


@pytest.mark.slow
@pytest.mark.fault("I02")
def test_more_files_or_fields_than_a_form_may_hold_are_413_with_a_hint(server):
    files = [("image", f"a{n}.tif", b"II*\0") for n in range(2001)]
    status, _, told = server.send([("task", "stain")], files, **HEADERS)
    assert (status, told["flag"]) == (413, "too_large")
    assert "name folders" in told["hint"]
    status, _, told = server.send([("files", "field.ome.tif")] * 1001, **HEADERS)
    assert (status, told["flag"]) == (413, "too_large")
    assert taken(server) == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="reads the limits of a process from /proc")
def test_a_form_may_hold_as_many_open_files_as_it_may_have_files(server):
    (line,) = [
        one
        for one in Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
        if one.startswith("Max open files")
    ]
    soft, hard = line.split()[3:5]
    assert soft == hard or int(soft) >= 4096


def workbook(unpacked, far=False):
    out = io.BytesIO()
    if far:
        import openpyxl

        book = openpyxl.Workbook()
        book.active["A1"] = "well"
        book.active.cell(1_000_000, 10_000, "far")
        book.save(out)
        return out.getvalue()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/workbook.xml", "w") as part:
        for _ in range(unpacked >> 20):
            part.write(b" " * (1 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "words"), [(workbook(300 << 20), "unpacks to 300 MiB"), (workbook(0, True), "NTP1000000")]
)
def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is(tmp_path, content, words):
    (tmp_path / "map.xlsx").write_bytes(content)
    assert len(content) < 1 << 20
    with pytest.raises(ReaderError, match=words) as told:
        read_table(tmp_path / "map.xlsx")
    assert (told.value.flag, "CSV" in told.value.hint) == ("too_large", True)


def test_a_picture_whose_strip_unpacks_to_far_more_than_it_declares_is_an_error_and_takes_no_memory(tmp_path):
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(bytes(1 << 24)) for _ in range(32)), packer.flush()])  # 512 MiB
    at = 8 + 2 + 12 * 9 + 4
    tags = [(256, 64), (257, 64), (258, 16), (259, 8), (262, 1), (273, at), (277, 1), (278, 64), (279, len(data))]
    listed = b"".join(tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in tags)
    (tmp_path / "bomb.tif").write_bytes(b"II*\0\x08\0\0\0\x09\0" + listed + bytes(4) + data)
    before = psutil.Process().memory_info().rss
    with pytest.raises(ReaderError, match=r"bomb\.tif"):
        read_image(tmp_path / "bomb.tif", axes="YX")
    assert psutil.Process().memory_info().rss - before < 200 << 20
