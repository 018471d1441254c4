"""What a service must survive: wrong tokens, slow clients, endless uploads, thousands of files, bombs, broken forms.

``python -m tests.benchmarks serve_security [NAME ...]``; each line says what was asked, what was answered, and what it cost
the service. Names: tokens, slow, upload, files, bombs, paths, forms; all by default.
"""

from __future__ import annotations

import http.client
import io
import random
import secrets
import socket
import statistics
import struct
import tempfile
import threading
import time
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from tests.service_support import FAST, Server, make_field

GIB = 1 << 30
RIGHT = "the-right-token-of-ann-" + "0123456789" * 2


class Watched:
    """A service with its address, memory and the bytes below its data folder."""

    def __init__(self, server: Server) -> None:
        self.server = server
        parts = urlsplit(server.url)
        self.address = (parts.hostname, parts.port)
        self.process = psutil.Process(server.process.pid)

    def mib(self) -> float:
        return self.process.memory_info().rss / 2**20

    def on_disk(self) -> int:
        """Bytes that are taken, those of files without a name too."""
        named = sum(p.stat().st_size for p in self.server.data.rglob("*") if p.is_file())
        open_ones = 0
        for fd in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                found = fd.stat()
                if found.st_nlink == 0 and "(deleted)" in str(fd.readlink()):
                    open_ones += found.st_size
            except OSError:
                continue
        return named + open_ones

    def health(self) -> float:
        clock = time.perf_counter()
        status = self.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert status == 200, status
        return time.perf_counter() - clock

    def raw(self, sent: bytes, timeout: float = 60) -> int:
        """Send bytes, and return the status of the answer; 0 where there is none, or not within the time."""
        with socket.create_connection(self.address, timeout=timeout) as there:
            said = b""
            with suppress(OSError):
                there.sendall(sent)
            with suppress(OSError):
                while piece := there.recv(65536):
                    said += piece
        return int(said.split(b" ", 2)[1]) if said.startswith(b"HTTP/") else 0


def spread(times: list[float]) -> str:
    return (
        f"median {1000 * statistics.median(times):.1f} ms, 99 % {1000 * statistics.quantiles(times, n=100)[98]:.1f} ms"
    )


def tokens(watched: Watched, count: int = 10_000) -> None:
    """Ask with tokens that are wrong from the first, and from the last letter on, and with the right one in between."""
    kinds = {
        "another one": lambda: secrets.token_urlsafe(32),
        "the last letter": lambda: RIGHT[:-1] + random.choice("abcdef"),
        "none": lambda: "",
        "right": lambda: RIGHT,
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    answers: Counter[tuple[str, int]] = Counter()
    there = http.client.HTTPConnection(*watched.address, timeout=60)
    before = watched.mib()
    for number in range(count + count // 10):
        name = "right" if number % 11 == 10 else list(kinds)[number % 3]
        clock = time.perf_counter()
        there.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {kinds[name]()}"})
        answer = there.getresponse()
        answer.read()
        times[name].append(time.perf_counter() - clock)
        answers[name, answer.status] += 1
    there.close()
    print(f"tokens: {dict(answers)}")
    for name, found in times.items():
        half = len(found) // 2
        print(f"  {name}: {spread(found)}; second half {1000 * statistics.median(found[half:]):.1f} ms")
    print(f"  memory {before:.0f} -> {watched.mib():.0f} MiB")


def slow(watched: Watched, clients: int = 200) -> None:
    """Hold connections with a byte a second, half of them in the head and half in the body, and ask beside them."""
    held = []
    for number in range(clients):
        there = socket.create_connection(watched.address, timeout=120)
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {RIGHT}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
        ).encode()
        part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.tif"\r\n\r\n'
        there.sendall(head + part if number % 2 else head[:40])
        held.append((number % 2, there, time.monotonic()))
    asked, ended, told = [], {0: [], 1: []}, Counter()
    begun = time.monotonic()
    while held and time.monotonic() - begun < 120:
        left = []
        for kind, there, since in held:
            try:
                there.sendall(b"x")
                there.setblocking(False)
                try:
                    said = there.recv(4096)
                    told[said.split(b"\r\n")[0].decode() or "closed"] += 1
                    ended[kind].append(time.monotonic() - since)
                    there.close()
                except BlockingIOError:
                    there.setblocking(True)
                    left.append((kind, there, since))
            except OSError:
                told["closed"] += 1
                ended[kind].append(time.monotonic() - since)
                there.close()
        held = left
        asked.append(watched.health())
        time.sleep(1)
    print(f"slow: {clients} clients of a byte a second: {dict(told)}, {len(held)} left")
    print(f"  heads let go after at most {max(ended[0]):.0f} s, bodies after at most {max(ended[1]):.0f} s")
    print(f"  /health meanwhile, {len(asked)} times: {spread(asked)}")


def upload(watched: Watched) -> None:
    """Send 10 GB: by its length, and without one; in both cases as fast as it is taken."""
    for name, length in (("declared", True), ("not declared", False)):
        before, sent, most = watched.on_disk(), 0, 0
        there = socket.create_connection(watched.address, timeout=60)
        how = f"Content-Length: {10**10}" if length else "Transfer-Encoding: chunked"
        part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.tif"\r\n\r\n'
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {RIGHT}\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\n{how}\r\n\r\n"
        ).encode()
        there.sendall(head + (part if length else b"%x\r\n%s\r\n" % (len(part), part)))
        piece = bytes(1 << 20)
        framed = piece if length else b"%x\r\n%s\r\n" % (len(piece), piece)
        clock = time.perf_counter()
        try:
            while sent < 10**10:
                there.sendall(framed)
                sent += len(piece)
                if sent % (64 << 20) == 0:
                    most = max(most, watched.on_disk() - before)
        except OSError:
            pass
        said = b""
        with suppress(OSError):
            said = there.recv(4096)
        there.close()
        took = time.perf_counter() - clock
        time.sleep(0.5)
        status = said.split(b" ", 2)[1].decode() if said.startswith(b"HTTP/") else "connection closed"
        print(
            f"upload of 10 GB, length {name}: {status} after {sent / 2**20:.0f} MiB and {took:.1f} s; at most "
            f"{most / 2**20:.0f} MiB on the disk, {max(0, watched.on_disk() - before) / 2**20:.1f} left; {watched.mib():.0f} MiB"
        )
    print(f"  /health afterwards: {1000 * watched.health():.0f} ms")


def form(files: list[tuple[str, str, bytes]], fields: list[tuple[str, str]] = ()) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields]
    for name, file, content in files:
        parts.append(f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode())
        parts.append(content + b"\r\n")
    return b"".join([*parts, b"--b--\r\n"])


def post(watched: Watched, body: bytes, path: str = "/v1/jobs", kind: str = "multipart/form-data; boundary=b") -> int:
    there = http.client.HTTPConnection(*watched.address, timeout=300)
    try:
        there.request("POST", path, body, {"Content-Type": kind, "Authorization": f"Bearer {RIGHT}"})
        return there.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        return there.getresponse().status
    finally:
        there.close()


def files(watched: Watched) -> None:
    """Send 10,000 files in one form, 1,500 that do not fit the memory set aside for each, and 10,000 fields."""
    image = make_field(watched.server.root / "one.ome.tif").read_bytes()
    large = image + bytes(1_100_000 - len(image))
    for name, body in (
        ("10,000 files", lambda: form([("image", f"a{n}.ome.tif", image) for n in range(10_000)], [("task", "stain")])),
        (
            "1,500 files of 1.1 MB",
            lambda: form([("image", f"a{n}.png", large) for n in range(1500)], [("task", "stain")]),
        ),
        ("10,000 fields", lambda: form([], [("files", f"f{n}") for n in range(10_000)])),
    ):
        clock = time.perf_counter()
        status = post(watched, body())
        print(f"files: {name}: {status} after {time.perf_counter() - clock:.1f} s; service {watched.mib():.0f} MiB")
    print(f"  /health afterwards: {1000 * watched.health():.0f} ms; left over: {left_over(watched)}")


def left_over(watched: Watched) -> int:
    """Count files that lie where uploads are taken in."""
    return len(list((watched.server.data / "incoming").iterdir()))


def tiff_bomb(unpacked: int, side: int = 64) -> bytes:
    """Write a TIFF of 64 x 64 px whose one strip unpacks to far more."""
    packer, zeros = zlib.compressobj(9), bytes(1 << 24)
    data = b"".join([*(packer.compress(zeros) for _ in range(unpacked >> 24)), packer.flush()])
    at = 8 + 2 + 12 * 9 + 4
    tags = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 16),
        (259, 3, 8),
        (262, 3, 1),
        (273, 4, at),
        (277, 3, 1),
        (278, 4, side),
    ]
    listed = struct.pack("<H", 9)
    for tag, kind, value in [*tags, (279, 4, len(data))]:
        listed += struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value)
    return struct.pack("<2sHI", b"II", 42, 8) + listed + struct.pack("<I", 0) + data


def workbook_bomb(unpacked: int) -> bytes:
    """Write an XLSX whose sheet unpacks to far more than it is long."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet,
    ):
        for _ in range(unpacked >> 20):
            sheet.write(b" " * (1 << 20))
    return out.getvalue()


def bombs(watched: Watched) -> None:
    """Send what is small and unpacks to gigabytes, or claims to be a huge picture."""
    huge_png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 2**31 - 1, 2**31 - 1) + bytes(9)
    wide = tiff_bomb(1 << 24, side=60_000)
    for name, content, file in (
        ("TIFF of 64 px that unpacks to 2 GiB", tiff_bomb(2 * GIB), "bomb.tif"),
        ("TIFF that claims 60,000 px", wide, "wide.tif"),
        ("PNG that claims 2^31 px", huge_png, "huge.png"),
    ):
        most, stop = [0.0, 0.0], threading.Event()

        def watch(most: list[float] = most, stop: threading.Event = stop) -> None:
            while not stop.wait(0.05):
                workers = [one.memory_info().rss for one in watched.process.children() if one.is_running()]
                most[:] = max(most[0], watched.mib()), max([most[1], *(one / 2**20 for one in workers)])

        thread = threading.Thread(target=watch)
        thread.start()
        headers = {"Authorization": f"Bearer {RIGHT}"}
        fields = [("task", "stain"), ("params", '{"model": "test-model", "device": "cpu"}'), ("pixel_size_um", "0.5")]
        status, _, told = watched.server.send(fields, [("image", file, content)], **headers)
        ended = ""
        while status == 202 and ended not in ("done", "failed"):
            told = watched.server.ask("GET", f"/v1/jobs/{told['id']}", **headers)[2]
            ended = told["state"]
            time.sleep(0.1)
        stop.set()
        thread.join()
        why = (told.get("error") or told).get("message", "")
        print(f"bombs: {name} ({len(content) / 2**20:.1f} MiB): {status} {ended} '{why}'")
        print(f"  service at most {most[0]:.0f} MiB, worker at most {most[1]:.0f} MiB")
    table = workbook_bomb(2 * GIB)
    status = post(watched, form([("table", "a.xlsx", table)]), "/v1/response")
    print(
        f"bombs: XLSX that unpacks to 2 GiB ({len(table) / 2**20:.1f} MiB): {status}; service {watched.mib():.0f} MiB"
    )
    print(f"  /health afterwards: {1000 * watched.health():.0f} ms")


UP = ("..", "%2e%2e", "..%2f", "%2e%2e%2f", "..%5c", "....//", "%252e%252e", "..%00", "%c0%ae%c0%ae", "/", "//", "\\..")


def paths(watched: Watched) -> None:
    """Ask for files outside, by many spellings, in addresses and in the names of files and plates."""
    headers = {"Authorization": f"Bearer {RIGHT}"}
    told = watched.server.ask(
        "POST", "/v1/jobs", {"task": "stain", "files": ["one.ome.tif"], "params": FAST}, **headers
    )[2]
    watched.server.wait_as(told["id"], headers)
    answers: Counter[str] = Counter()
    secret = (watched.server.folder / "tokens").read_bytes()
    for up in UP:
        for depth in (1, 2, 3, 6):
            for name in ("jobs.sqlite", "tokens", "etc/passwd", "outcome.json"):
                for place in (f"/v1/jobs/{told['id']}/result/", f"/v1/jobs/{told['id']}/preview/", "/v1/jobs/", "/"):
                    path = place + "/".join([up] * depth) + "/" + name
                    there = http.client.HTTPConnection(*watched.address, timeout=60)
                    there.putrequest("GET", path, skip_host=True)
                    for header, value in {"Host": "localhost", **headers}.items():
                        there.putheader(header, value)
                    there.endheaders()
                    answer = there.getresponse()
                    content = answer.read()
                    there.close()
                    leaked = secret in content or b"root:" in content or b"SQLite format" in content
                    answers["LEAK " + path if leaked else f"GET {answer.status}"] += 1
                named = "/".join([up] * depth) + "/" + name
                for body in ({"files": [named]}, {"plate": named}, {"files": ["one.ome.tif"], "map": named}):
                    status = watched.server.ask("POST", "/v1/jobs", {"task": "stain", **body}, **headers)[0]
                    answers[f"POST {status}"] += 1
    print(f"paths: {dict(answers)}")


def forms(watched: Watched, count: int = 2000) -> None:
    """Send broken requests: by hand, and by chance from a sound one."""
    sound = form([("image", "a.tif", b"II*\0" + bytes(200))], [("task", "stain"), ("params", "{}")])
    head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + RIGHT + "\r\n"
    kind = "Content-Type: multipart/form-data; boundary=b\r\n"
    by_hand = {
        "no boundary": head + "Content-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc",
        "a boundary of 10 kB": head
        + f"Content-Type: multipart/form-data; boundary={'x' * 10_000}\r\nContent-Length: 3\r\n\r\nabc",
        "an empty boundary": head + 'Content-Type: multipart/form-data; boundary=""\r\nContent-Length: 3\r\n\r\nabc',
        "two lengths": head + kind + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "a length below nought": head + kind + "Content-Length: -1\r\n\r\n",
        "a length that is none": head + kind + "Content-Length: 0x10\r\n\r\n" + "x" * 16,
        "length and chunks": head + kind + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunks that are none": head + kind + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        "a head of 1 MB": head + f"X-Long: {'x' * 1_000_000}\r\n\r\n",
        "10,000 headers": head + "".join(f"X-{n}: 1\r\n" for n in range(10_000)) + "\r\n",
        "no method": "\r\n\r\n",
        "binary": "\x00\x01\x02\xff" * 100,
        "an unknown coding": head + kind + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        "cut short": head + kind + "Content-Length: 5000\r\n\r\n--b\r\n",
        "a part of endless head": head + kind + "Content-Length: 200000\r\n\r\n--b\r\n" + "x" * 199_995,
    }
    before, answers = watched.mib(), {}
    for name, text in by_hand.items():
        answers[name] = watched.raw(text.encode("latin-1"), timeout=3)
    print("forms: " + ", ".join(f"{name}: {status or 'no answer'}" for name, status in answers.items()))
    chance, by_chance = random.Random(0), Counter()
    for _ in range(count):
        broken = bytearray(sound)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(broken))
            match chance.randrange(3):
                case 0:
                    broken[at] = chance.randrange(256)
                case 1:
                    del broken[at : at + chance.randint(1, 30)]
                case _:
                    broken[at:at] = chance.choice((b"--b\r\n", b"\r\n\r\n", b"--b--\r\n", b"\0", b'"', b"\xff" * 20))
            broken = broken or bytearray(b"x")
        by_chance[post(watched, bytes(broken))] += 1
    print(
        f"  {count} by chance: {dict(by_chance)}; memory {before:.0f} -> {watched.mib():.0f} MiB; left over: {left_over(watched)}"
    )
    bad = [status for status in (*answers.values(), *by_chance) if status >= 500]
    print(f"  answers of 500 and above: {len(bad)}; /health afterwards: {1000 * watched.health():.0f} ms")


ALL = {one.__name__: one for one in (tokens, upload, files, bombs, paths, forms, slow)}


class OwnServer(Server):
    """A service with a token, and a way to wait for a job with it."""

    def wait_as(self, job_id: str, headers: dict[str, str]) -> None:
        while self.ask("GET", f"/v1/jobs/{job_id}", **headers)[2]["state"] not in ("done", "failed"):
            time.sleep(0.1)


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokens").write_text(f"ann run {RIGHT}\n")
        server = OwnServer(Path(folder), "--token-file", Path(folder) / "tokens")
        make_field(server.root / "one.ome.tif")
        with server:
            watched = Watched(server)
            for name in arguments or ALL:
                ALL[name](watched)
            log = server.log.read_text()
        print(f"log of the service: {len(log.splitlines())} lines, {log.count('Traceback')} tracebacks")
        for line in log.splitlines()[-40:]:
            print("  log:", line[:300])
