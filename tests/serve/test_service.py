"""The service over HTTP: the same numbers as the command and Python, errors that help, nothing lost."""

import csv
import http.client
import io
import json
import os
import signal
import socket
import sqlite3
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile
from typer.testing import CliRunner

import vitascope
from service_support import FAST, Server, make_field
from vitascope.cli.main import app

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    with Server(folder, "--max-upload-gib", "0.01", "--max-megapixels", "8", "--max-jobs-each", "40") as found:
        make_field(found.root / "scan" / "field.ome.tif")
        yield found


def form(task="stain", **params):
    return [("task", task), ("params", json.dumps({**FAST, **params}))]


@pytest.fixture(scope="module")
def finished(server):
    content = (server.root / "scan" / "field.ome.tif").read_bytes()
    status, headers, told = server.send(form(), [("image", "field.ome.tif", content)])
    assert (status, headers["location"]) == (202, f"/v1/jobs/{told['id']}")
    ended = server.wait(told["id"])
    assert ended["state"] == "done", ended
    return ended


def test_it_is_well_and_describes_itself(server):
    status, _, told = server.ask("GET", "/health")
    assert (status, told["status"], told["version"]) == (200, "ok", vitascope.__version__)
    status, _, schema = server.ask("GET", "/openapi.json")
    tile = schema["components"]["schemas"]["StainParams"]["properties"]["tile_px"]
    assert tile["unit"] == "px"
    assert tile["description"].startswith("Side of the piece")
    assert tile["anyOf"][0]["minimum"] == 256
    assert {"/health", "/v1/tasks", "/v1/models", "/v1/jobs", "/v1/jobs/{job_id}/result"} <= set(schema["paths"])
    assert [one["name"] for one in server.ask("GET", "/v1/tasks")[2]] == [t.name for t in vitascope.list_tasks()]
    assert "test-model" in [one["id"] for one in server.ask("GET", "/v1/models?task=stain")[2]]


def test_rest_command_and_python_give_the_same_bits(server, finished, tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(server.models))
    field = server.root / "scan" / "field.ome.tif"
    settings = [w for k, v in FAST.items() if k not in ("model", "device") for w in ("--set", f"{k}={v}")]
    words = ["run", "stain", str(field), "-o", str(tmp_path / "command"), "--model", "test-model", "--device", "cpu"]
    assert CliRunner().invoke(app, words + settings).exit_code == 0
    vitascope.run("stain", field, **FAST).save(tmp_path / "python")
    names = [one["name"] for one in server.ask("GET", f"/v1/jobs/{finished['id']}/files")[2]]
    for other in ("command", "python"):
        here = {p.relative_to(tmp_path / other).as_posix(): p for p in (tmp_path / other).rglob("*") if p.is_file()}
        assert sorted(here) == sorted(names)
        for name, path in here.items():
            content = server.ask("GET", f"/v1/jobs/{finished['id']}/result/{name}")[2]
            if name.endswith(".csv"):
                assert content == path.read_bytes()
            elif name.endswith(".tif"):
                np.testing.assert_array_equal(tifffile.imread(io.BytesIO(content)), tifffile.imread(path))
    assert len([name for name in names if name.endswith((".csv", ".tif"))]) == 4


def test_a_result_comes_as_rows_csv_and_parquet(server, finished):
    path = f"/v1/jobs/{finished['id']}/result"
    status, _, rows = server.ask("GET", path, Accept="application/json")
    text = server.ask("GET", path, Accept="text/csv")[2]
    (cells,) = csv.DictReader(io.StringIO(text.decode()))
    assert status == 200
    assert list(rows[0]) == list(cells)
    assert rows[0]["objects"] == int(cells["objects"])
    assert rows[0]["mean_area_um2"] == float(cells["mean_area_um2"]) > 0
    assert rows[0]["time"] is None
    parquet = pd.read_parquet(io.BytesIO(server.ask("GET", f"{path}?format=parquet")[2]))
    assert parquet["mean_area_um2"][0] == rows[0]["mean_area_um2"]
    assert server.ask("GET", path, Accept="image/png")[0] == 406
    picture = server.ask("GET", f"/v1/jobs/{finished['id']}/preview/prediction/field.ome.tif")
    assert picture[2].startswith(b"\x89PNG")
    events = server.ask("GET", f"/v1/jobs/{finished['id']}/events")[2].decode()
    assert events.startswith("event: end\ndata: {")


DOSES = (0.1, 1.0, 10.0, 100.0)


@pytest.fixture(scope="module")
def plate(server):
    """A plate whose wells get dimmer with the dose, its map, and the job that ran it."""
    wells = [f"{row}{column:02d}" for row in "AB" for column in range(1, 5)]
    for number, well in enumerate(wells):
        make_field(server.root / "plate" / f"p_{well}.ome.tif", gain=1000 - 180 * (number % 4) + 9 * number)
    rows = [f"{well},drug,{DOSES[n % 4]},µM,treatment" for n, well in enumerate(wells)]
    (server.root / "map.csv").write_text("\n".join(["well,treatment,dose,dose_unit,role", *rows]), encoding="utf-8")
    asked = {"task": "stain", "plate": "plate", "map": "map.csv", "params": FAST}
    ended = server.wait(server.ask("POST", "/v1/jobs", asked)[2]["id"])
    assert (ended["state"], sum(ended["counts"].values())) == ("done", len(wells)), ended
    return ended["id"], wells


def test_files_below_the_root_are_named_and_a_plate_is_a_job(server, plate):
    told = server.ask("POST", "/v1/jobs", {"task": "stain", "files": ["scan"], "params": FAST})[2]
    assert server.wait(told["id"])["counts"]
    job, wells = plate
    assert [r["well"] for r in server.ask("GET", f"/v1/jobs/{job}/result")[2]] == wells
    files = [f["name"] for f in server.ask("GET", f"/v1/jobs/{job}/files")[2]]
    assert not any("journal" in name for name in files)
    field = next(name for name in files if name.count("/") == 4 and "/labels/" not in name).rpartition("/")[0]
    status, headers, _ = server.ask("GET", f"/v1/jobs/{job}/preview/{field}")
    assert (status, headers["content-type"]) == (200, "image/png")
    status, _, told = server.ask("GET", f"/v1/jobs/{job}/preview/{field.rpartition('/')[0]}")
    assert status == 422
    assert str(server.folder) not in json.dumps(told), "no folder of the machine"


def test_a_plate_over_rest_and_by_command_gives_the_same_bits(server, plate, tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(server.models))
    settings = [w for k, v in FAST.items() if k not in ("model", "device") for w in ("--set", f"{k}={v}")]
    words = ["plate", str(server.root / "plate"), "--task", "stain", "-o", str(tmp_path / "out"),
             "--model", "test-model", "--device", "cpu", "--map", str(server.root / "map.csv"), *settings]  # fmt: skip
    assert CliRunner().invoke(app, words).exit_code == 0
    for name in ("results.csv", "objects.csv"):
        content = server.ask("GET", f"/v1/jobs/{plate[0]}/result/{name}")[2]
        tables = [pd.read_csv(where).drop(columns=["run", "seconds"], errors="ignore")
                  for where in (io.BytesIO(content), tmp_path / "out" / name)]  # fmt: skip
        assert len(tables[0]) >= len(plate[1])
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_curves_of_a_result_are_those_of_the_command(server, plate, tmp_path):
    asked = {"value": "intensity_mean_mean", "direction": "either"}
    columns = [n for n in server.ask("GET", f"/v1/jobs/{plate[0]}/result")[2][0] if "intensity" in n or n == "objects"]
    asked["value"] = next(name for name in columns if not name.endswith(("_low", "_high")))
    status, _, rows = server.ask("POST", f"/v1/jobs/{plate[0]}/response", asked)
    assert (status, [row["treatment"] for row in rows]) == (200, ["drug"])
    vitascope.Client(server.url).job(plate[0]).save(tmp_path / "saved")
    own = (tmp_path / "saved" / "response" / "curves.csv").read_bytes()
    words = ["response", str(tmp_path / "saved"), "-o", str(tmp_path / "curves"), "--value", asked["value"],
             "--map", str(server.root / "map.csv")]  # fmt: skip
    assert CliRunner().invoke(app, words).exit_code == 0
    assert own == (tmp_path / "curves" / "curves.csv").read_bytes()
    assert vitascope.Client(server.url).job(plate[0]).response(**asked) == rows
    text = server.ask("POST", f"/v1/jobs/{plate[0]}/response", asked, Accept="text/csv")[2]
    assert text == own


TABLE = "treatment,dose,dose_unit,value\n" + "\n".join(
    f"drug,{dose},µM,{100 / (1 + dose) + repeat}" for dose in (0.01, 0.1, 0.3, 1, 3, 10, 100) for repeat in range(3)
)


def test_a_table_that_is_sent_gets_curves_and_is_not_kept(server):
    before = sorted(p.name for p in server.data.iterdir())
    status, _, rows = server.send([], [("table", "wells.csv", TABLE.encode())], "/v1/response")
    assert status == 200
    assert rows[0]["ic50"] == pytest.approx(1, rel=0.15)
    assert (rows[0]["quality"], rows[0]["ic50_unit"]) == ("good", "µM")
    assert sorted(p.name for p in server.data.iterdir()) == before


@pytest.mark.parametrize(
    ("fields", "files", "status", "word"),
    [
        ([], [], 415, "table"),
        ([("params", "{}")], [], 422, "no table"),
        ([], [("table", "a.exe", b"x")], 422, "no table"),
        ([], [("table", "a.csv", b"\x00\x01")], 422, ""),
        ([("params", '{"value": "nix"}')], [("table", "a.csv", TABLE.encode())], 422, "nix"),
        ([("params", '{"speed": 1}')], [("table", "a.csv", TABLE.encode())], 422, "speed"),
        ([("params", '{"value": [1]}')], [("table", "a.csv", TABLE.encode())], 422, "value"),
        ([("params", '{"map": "../x.csv"}')], [("table", "a.csv", TABLE.encode())], 422, "There is no"),
    ],
)
def test_what_no_curve_can_be_fitted_to_is_refused_with_a_sentence(server, fields, files, status, word):
    if not fields and not files:
        found, _, told = server.ask("POST", "/v1/response", {"value": "x"})
    else:
        found, _, told = server.send(fields, files, "/v1/response")
    assert (found, word in told["detail"]) == (status, True), told
    assert str(server.data) not in told["detail"]


def test_curves_need_a_result(server):
    assert server.ask("POST", "/v1/jobs/nix/response", {})[0] == 404


WRONG = {
    "no task": ([("params", "{}")], [("image", "a.png", b"x")], 422, "task"),
    "unknown task": ([("task", "eat")], [("image", "a.tif", b"II*\0")], 422, "no task"),
    "no image": ([("task", "stain")], [], 422, "No image"),
    "no picture": ([("task", "stain")], [("image", "a.tif", b"hello, world")], 422, "no TIFF"),
    "cut picture": ([("task", "stain")], [("image", "a.tif", b"II*\0\x08\0\0\0")], 422, "a.tif"),
    "empty": ([("task", "stain")], [("image", "a.tif", b"")], 422, "empty"),
    "a program": ([("task", "stain")], [("image", "a.py", b"import os")], 422, "no image"),
    "unknown field": ([("task", "stain"), ("shell", "ls")], [], 422, "not known"),
    "params": ([("task", "stain"), ("params", "{")], [], 422, "no JSON"),
    "half a letter": ([("task", "stain"), ("params", r'{"model": "\ud800"}')], [], 422, "no JSON"),
    "bounds": ([("task", "stain"), ("params", '{"tile_px": 7}')], [], 422, "tile_px"),
    "unknown parameter": ([("task", "stain"), ("params", '{"speed": 7}')], [], 422, "speed"),
    "a path as model": ([("task", "stain"), ("params", '{"model": "/etc/x.json"}')], [], 422, "id"),
    "unknown model": ([("task", "stain"), ("params", '{"model": "nix"}')], [("image", "a.png", b"x")], 422, "nix"),
    "above the root": ([("task", "stain"), ("files", "../data")], [], 422, "There is no"),
    "absolute": ([("task", "stain"), ("files", "/etc/passwd")], [], 422, "There is no"),
    "plate": ([("task", "stain"), ("plate", "../data")], [], 422, "There is no"),
    "too many pixels": (
        [("task", "stain")],
        [("image", "a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0")], 413, "pixels",
    ),
}  # fmt: skip


def test_half_a_letter_in_json_is_refused(server):
    status, _, told = server.ask("POST", "/v1/jobs", {"task": "stain", "files": ["\ud800"]})
    assert (status, told["message"]) == (422, "The request is no JSON.")


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.fault("I01")
@pytest.mark.fault("I03")
def test_what_cannot_be_run_is_refused_at_once(server, case):
    fields, files, status, word = WRONG[case]
    got, headers, told = server.send(fields, files)
    assert got == status, told
    assert headers["content-type"] == "application/problem+json"
    assert word in told["detail"]
    assert told["message"]
    assert told["hint"]
    assert not any(str(text) in json.dumps(told) for text in (server.folder, "Traceback"))
    assert server.ask("GET", "/health")[0] == 200


@pytest.mark.fault("I02")
def test_a_body_too_large_is_refused_by_what_it_says_and_by_what_comes(server):
    status, _, told = server.ask(
        "POST", "/v1/jobs", b"", Content_Type="multipart/form-data", Content_Length=str(10**10)
    )
    assert (status, told["flag"]) == (413, "too_large")
    there = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.tif"\r\n\r\n'
    pieces = iter([head, *[bytes(1 << 20)] * 12])
    try:
        there.request(
            "POST", "/v1/jobs", pieces, {"Content-Type": "multipart/form-data; boundary=b"}, encode_chunked=True
        )
        assert there.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused while it was still being sent
    there.close()
    assert server.ask("GET", "/health")[0] == 200
    assert list((server.data / "incoming").iterdir()) == []


@pytest.mark.fault("I07")
def test_who_goes_away_while_sending_leaves_nothing_behind(server):
    before = server.ask("GET", "/v1/jobs")[2]
    address = server.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as there:
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: {':'.join(address)}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        )
        part = '--b\r\nContent-Disposition: form-data; name="image"; filename="a.tif"\r\n\r\n'
        there.sendall(f"{head}Content-Length: 900000\r\n\r\n{part}".encode() + bytes(10000))
    with socket.create_connection((address[0], int(address[1]))) as there:  # and who follows a job, and goes away
        job = server.ask("POST", "/v1/jobs", {"task": "stain", "files": ["scan"], "params": FAST})[2]["id"]
        there.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: {':'.join(address)}\r\n\r\n".encode())
        assert b"200 OK" in there.recv(1000)
    assert server.wait(job)["state"] == "done"  # a job is not a connection: DELETE cancels it
    assert {one["id"] for one in server.ask("GET", "/v1/jobs")[2]} == {job, *(one["id"] for one in before)}
    assert "Traceback" not in server.log.read_text()
    assert list((server.data / "incoming").iterdir()) == []


@pytest.mark.fault("I04")
@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "../../etc",
        "%2e%2e%2f%2e%2e",
        "ID/result/../../../jobs.sqlite",
        "ID/result/%2e%2e/%2e%2e/jobs.sqlite",
    ],
)
def test_no_path_leads_out_of_a_job(server, finished, path):
    status, _, told = server.ask("GET", f"/v1/jobs/{path.replace('ID', finished['id'])}")
    assert status == 404
    assert told["message"]


def test_malformed_forms_are_refused(server):
    for body in (b"", b"--b\r\n", b"\0" * 100, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"):
        status, _, told = server.ask("POST", "/v1/jobs", body, Content_Type="multipart/form-data; boundary=b")
        assert 400 <= status < 500, told
    two_ways = {
        "Content_Type": "multipart/form-data; boundary=b",
        "Transfer_Encoding": "chunked",
        "Content_Length": "3",
    }
    assert server.ask("POST", "/v1/jobs", b"0\r\n\r\n", **two_ways)[0] == 400
    assert server.ask("POST", "/v1/jobs", b"{}", Content_Type="text/plain")[0] == 415
    assert server.ask("POST", "/v1/jobs", b"[" * 9000, Content_Type="application/json")[0] == 422
    assert server.ask("PUT", "/v1/jobs", b"")[0] == 405


def test_pages_of_other_sites_and_names_of_other_machines_are_refused(server):
    assert server.ask("DELETE", "/v1/jobs/x", Origin="http://evil.example")[0] == 403
    assert server.ask("GET", "/v1/jobs", Host="evil.example")[0] == 403


def test_the_same_key_is_the_same_job(server):
    body = {"task": "stain", "files": ["scan"], "params": FAST}
    first = server.ask("POST", "/v1/jobs", body, Idempotency_Key="k1")
    again = server.ask("POST", "/v1/jobs", body, Idempotency_Key="k1")
    assert (first[0], again[0], again[2]["id"]) == (202, 202, first[2]["id"])
    assert again[1]["Idempotent-Replayed"] == "true"
    other = server.ask("POST", "/v1/jobs", {**body, "params": {}}, Idempotency_Key="k1")
    assert other[0] == 422
    server.wait(first[2]["id"])


@pytest.mark.fault("I06")
def test_parallel_requests_wait_in_a_queue_and_those_beyond_are_told_to_come_later(server):
    answers = []

    def ask():
        answers.append(server.ask("POST", "/v1/jobs", {"task": "stain", "files": ["scan"], "params": FAST}))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [told["id"] for status, _, told in answers if status == 202]
    refused = [headers for status, headers, _ in answers if status == 429]
    assert len(taken) + len(refused) == 50
    assert refused
    assert all(int(headers["retry-after"]) > 0 for headers in refused)
    ended = {job_id: server.ask("DELETE", f"/v1/jobs/{job_id}")[0] for job_id in taken[3:]}
    assert {server.wait(job_id)["state"] for job_id in taken[:3]} == {"done"}
    waiting = [job_id for job_id, status in ended.items() if status == 202]
    assert waiting
    assert {server.wait(job_id)["state"] for job_id in waiting} <= {"done", "cancelled"}


def test_an_unreadable_picture_among_others_keeps_its_row_and_alone_is_a_failed_job(server):
    good = (server.root / "scan" / "field.ome.tif").read_bytes()
    bad = good[: len(good) // 2]
    alone = server.send(form(), [("image", "bad.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1")])[2]
    ended = server.wait(alone["id"])
    assert ended["state"] == "failed"
    assert "bad" in ended["error"]["message"]
    assert str(server.folder) not in json.dumps(ended)
    status, _, told = server.ask("GET", f"/v1/jobs/{alone['id']}/result")
    assert (status, told["message"]) == (409, ended["error"]["message"])
    status, _, both = server.send(form(), [("image", "good.ome.tif", good), ("image", "bad.tif", bad)])
    if status == 202:
        assert server.wait(both["id"])["counts"]["FAILED"] == 1


def test_a_job_that_ended_is_removed_with_its_files(server):
    told = server.ask("POST", "/v1/jobs", {"task": "stain", "files": ["scan"], "params": FAST})[2]
    server.wait(told["id"])
    assert (server.data / "jobs" / told["id"]).is_dir()
    assert server.ask("DELETE", f"/v1/jobs/{told['id']}")[0] == 204
    assert not (server.data / "jobs" / told["id"]).exists()
    assert server.ask("GET", f"/v1/jobs/{told['id']}")[0] == 404


def test_the_page_is_whole_and_asks_no_other_site(server):
    status, headers, page = server.ask("GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    for name in ("page.js", "page.css"):
        assert name.encode() in page
        content = server.ask("GET", f"/{name}")[2]
        assert content
        assert b"http://" not in content
        assert b"https://" not in content


# -- ends and starts --------------------------------------------------------------------------------------------------


def count_done(server):
    base = sqlite3.connect(server.data / "jobs.sqlite")
    try:
        return dict(base.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())
    finally:
        base.close()


def worker_of(server):
    return psutil.Process(server.process.pid).children()[0]


def test_a_kill_loses_nothing_and_runs_nothing_twice_and_sigterm_hands_back(tmp_path):
    server = Server(tmp_path)
    for number in range(3):
        make_field(server.root / f"f{number}.ome.tif", 900 + 50 * number)
    with server:
        body = [{"task": "stain", "files": [f"f{number}.ome.tif"], "params": FAST} for number in range(3)]
        ids = [server.ask("POST", "/v1/jobs", one)[2]["id"] for one in body]
        server.wait(ids[0])
        first = server.ask("GET", f"/v1/jobs/{ids[0]}")[2]
        server.end(signal.SIGKILL)
        server.start()
        assert [server.wait(job_id)["state"] for job_id in ids] == ["done"] * 3
        assert server.ask("GET", f"/v1/jobs/{ids[0]}")[2]["ended"] == first["ended"]
        long = server.ask("POST", "/v1/jobs", {"task": "stain", "files": ["."], "params": {**FAST, "tile_px": 256}})[2]
        code, seconds = server.end()
        assert code == 0
        assert seconds < 10
        assert set(count_done(server)) <= {"done", "queued"}
        server.start()
        assert server.wait(long["id"])["state"] == "done"
        assert "Traceback" not in server.log.read_text()


def test_a_worker_that_dies_or_takes_too_much_memory_fails_its_job_alone(tmp_path):
    server = Server(tmp_path, "--max-memory-gib", "0.02")
    make_field(server.root / "f.ome.tif")
    with server:
        body = {"task": "stain", "files": ["f.ome.tif"], "params": FAST}
        told = server.wait(server.ask("POST", "/v1/jobs", body)[2]["id"])
        assert (told["state"], told["error"]["flag"]) == ("failed", "memory")
        job = server.ask("POST", "/v1/jobs", body)[2]["id"]
        assert server.wait(job)["state"] == "failed"
        assert server.ask("GET", "/health")[0] == 200


def test_a_job_that_takes_too_long_is_ended_and_the_service_lives(tmp_path):
    make_field(tmp_path / "root" / "one.ome.tif")
    with Server(tmp_path, "--max-minutes", "0.01") as server:
        for _ in range(2):  # the second one by a new worker
            job = server.ask("POST", "/v1/jobs", {"task": "stain", "files": ["one.ome.tif"], "params": FAST})[2]["id"]
            told = server.wait(job)
            assert (told["state"], told["error"]["message"]) == ("failed", "It took longer than 0.6 s.")
            assert told["error"]["hint"]
            assert server.ask("GET", f"/v1/jobs/{job}/result")[0] == 409
        assert server.ask("GET", "/health")[0] == 200
        assert psutil.Process(server.process.pid).children() == []


def test_a_worker_that_the_system_kills_fails_its_job_and_the_next_one_runs(tmp_path):
    server = Server(tmp_path)
    make_field(server.root / "f.ome.tif")
    with server:
        body = {"task": "stain", "files": ["f.ome.tif"], "params": FAST}
        job = server.ask("POST", "/v1/jobs", body)[2]["id"]
        end = time.monotonic() + 30
        while server.ask("GET", f"/v1/jobs/{job}")[2]["state"] != "running" and time.monotonic() < end:
            time.sleep(0.02)
        while not psutil.Process(server.process.pid).children():
            time.sleep(0.02)
        os.kill(worker_of(server).pid, signal.SIGKILL)
        told = server.wait(job)
        assert (told["state"], told["error"]["flag"]) == ("failed", "memory")
        again = server.ask("POST", "/v1/jobs", body)[2]["id"]
        assert server.wait(again)["state"] == "done"


@pytest.mark.fault("I08")
def test_tokens_and_scopes(tmp_path):
    made = CliRunner().invoke(app, ["serve", "--new-token", "ann", "--token-file", str(tmp_path / "tokens")])
    run = made.output.strip()
    read = "a-token-to-read-with-0123456789"
    with (tmp_path / "tokens").open("a") as file:
        file.write(f"bob read {read}\n")
    assert run not in (tmp_path / "tokens").read_text()
    with Server(tmp_path, "--token-file", tmp_path / "tokens") as server:
        make_field(server.root / "f.ome.tif")
        body = {"task": "stain", "files": ["f.ome.tif"], "params": FAST}
        assert server.ask("GET", "/health")[0] == 200
        for wrong in (
            {},
            {"Authorization": "Bearer no"},
            {"Authorization": f"Basic {run}"},
            {"Authorization": "Bearer é"},
        ):
            status, headers, told = server.ask("POST", "/v1/jobs", body, **wrong)
            assert (status, headers["www-authenticate"]) == (401, "Bearer"), told
            assert server.ask("GET", "/v1/tasks", **wrong)[0] == 401
        reader, runner = {"Authorization": f"Bearer {read}"}, {"Authorization": f"Bearer {run}"}
        assert server.ask("POST", "/v1/jobs", body, **reader)[0] == 403
        status, _, told = server.ask("POST", "/v1/jobs", body, **runner)
        assert status == 202
        assert server.ask("GET", f"/v1/jobs/{told['id']}", **reader)[0] == 200
        assert server.ask("DELETE", f"/v1/jobs/{told['id']}", **reader)[0] == 403
        server.end()
        left = server.log.read_text() + "".join(
            p.read_text(errors="replace") for p in server.data.rglob("*") if p.is_file()
        )
        assert run not in left
        assert read not in left


STARTS = {
    "another address without a token": (["--host", "0.0.0.0"], "token"),
    "no root": (["--root", "nowhere"], "not there"),
    "no token file": (["--token-file", "nowhere"], "cannot be read"),
    "data is the root": (["--data", "."], "never served"),
    "the root lies in data": (["--data", ".."], "never served"),
    "no address": (["--host", "300.1.1.1", "--token-file", "t"], "300.1.1.1"),
}


@pytest.mark.fault("I08")
@pytest.mark.parametrize("case", STARTS)
def test_a_service_that_cannot_be_started_so_says_why(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").write_text("x" * 40)
    words, said = STARTS[case]
    done = CliRunner().invoke(app, ["serve", "--port", "0", *words])
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t"]
