"""A plate whose images a service computes: the same numbers, the journal here."""

import os
import signal
import threading

import pandas as pd
import pytest
from typer.testing import CliRunner

from service_support import FAST, Server, make_field
from vitascope.batch.open_workers import open_workers
from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.results import open_plate_results
from vitascope.batch.plate.run import run_plate
from vitascope.cli.main import app
from vitascope.client.connection import ServerError
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.progress import run_to_end
from vitascope.core.status import NOT_DONE
from vitascope.io.plates.read import open_plate
from vitascope.tasks.registry import find_task

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-ann-0123456789"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    (folder / "tokens").write_text(f"ann run {TOKEN}\n")
    with Server(folder, "--token-file", folder / "tokens", "--workers", "2") as found:
        yield found


@pytest.fixture
def plate(tmp_path, service, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(service.models))
    monkeypatch.setattr("vitascope.client.connection._PAUSE_S", 0.0)
    for number, well in enumerate(("A01", "A02", "B01", "B02")):
        make_field(tmp_path / "plate" / f"p_{well}.ome.tif", gain=700 + 100 * number)
    (tmp_path / "plate" / "p_C01.ome.tif").write_bytes(b"II*\0cut short")
    return tmp_path / "plate"


def job(plate, out, **changes):
    spec = find_task("stain")
    values = {n: v for n, v in FAST.items() if n != "threads"}
    params = spec.make_params(**{**values, "threads": 1, "retry_s": (), **changes.pop("params", {})})
    return PlateJob(spec=spec, plate=open_plate(plate), params=params, out=out, **changes)


def test_a_service_of_another_version_takes_no_part_in_a_plate(service, plate, tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.batch.server_workers.versions", lambda: {"vitascope": "0.0.7"})
    with pytest.raises(ParameterError, match=r"another version of vitascope: .* \(here 0\.0\.7\)"):
        open_workers(service.url, None, token=TOKEN)


def bad(report):
    return sum(report.counts.get(status, 0) for status in NOT_DONE)


def frame(out):
    return pd.read_csv(out / "results.csv").drop(columns=["run", "seconds"], errors="ignore")


def test_a_plate_by_a_service_is_that_of_this_machine_and_resumes(plate, service, tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_TOKEN", TOKEN)
    here = run_to_end(run_plate(job(plate, tmp_path / "here")))
    there = run_to_end(run_plate(job(plate, tmp_path / "there", scheduler=service.url)))
    assert there.counts == here.counts
    assert (sum(there.counts.values()), bad(there)) == (5, 1)
    pd.testing.assert_frame_equal(frame(tmp_path / "here"), frame(tmp_path / "there"), check_exact=True)
    assert (tmp_path / "there" / "objects.csv").read_bytes() == (tmp_path / "here" / "objects.csv").read_bytes()
    results = open_plate_results(tmp_path / "there")
    assert len(results.pictures(results.frame["image"].iloc[0])) == 2
    again = run_to_end(run_plate(job(plate, tmp_path / "there", scheduler=service.url)))
    assert (again.computed, again.counts) == (0, there.counts)
    assert TOKEN not in "".join(p.read_text(errors="replace") for p in (tmp_path / "there").rglob("*") if p.is_file())


def test_the_command_takes_a_service_and_its_token_from_the_environment(plate, service, tmp_path):
    settings = [w for k, v in FAST.items() if k not in ("model", "device") for w in ("--set", f"{k}={v}")]
    words = ["plate", str(plate), "--task", "stain", "-o", str(tmp_path / "out"), "--scheduler", service.url,
             "--model", "test-model", "--device", "cpu", *settings]  # fmt: skip
    refused = CliRunner().invoke(app, words, env={"VITASCOPE_TOKEN": "wrong"})
    assert "No token that is known here" in refused.output
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, words, env={"VITASCOPE_TOKEN": TOKEN})
    assert done.exit_code == 3, done.output
    assert "5 wells, 5 images" in done.output


def test_a_service_that_goes_away_ends_the_run_and_costs_no_image(plate, tmp_path):
    for number in range(30):
        os.link(plate / "p_A01.ome.tif", plate / f"p_D{number % 12 + 1:02d}_f{number // 12 + 1}.ome.tif")
    own = Server(tmp_path / "own")
    with own:
        steps = run_plate(job(plate, tmp_path / "out", scheduler=own.url))
        for at in steps:
            if getattr(at, "ended", ()):
                break
        own.end(signal.SIGKILL)
        with pytest.raises(ServerError, match="does not answer"):
            run_to_end(steps)
    with own:
        there = run_to_end(run_plate(job(plate, tmp_path / "out", scheduler=own.url)))
    assert (sum(there.counts.values()), bad(there)) == (35, 1)
    assert 0 < there.computed < 35


def test_a_run_that_is_cancelled_cancels_its_jobs(plate, tmp_path):
    with Server(tmp_path / "own") as own:
        steps = run_plate(job(plate, tmp_path / "out", scheduler=own.url))
        while not own.ask("GET", "/v1/jobs")[2]:
            next(steps)
        steps.close()
        assert all(own.wait(one["id"])["state"] for one in own.ask("GET", "/v1/jobs")[2])
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("vitascope-server")]


def test_what_cannot_be_asked_of_a_service_is_said_at_once(plate, service, tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_TOKEN", TOKEN)
    with pytest.raises((ModelError, ParameterError), match="no-such-model"):
        run_to_end(run_plate(job(plate, tmp_path / "out", scheduler=service.url, params={"model": "no-such-model"})))
    with pytest.raises(ParameterError, match="features"):
        job(plate, tmp_path / "out", scheduler=service.url, drift=object())
    with pytest.raises(ServerError, match="does not answer"):
        open_workers("http://127.0.0.1:9", None)
    with pytest.raises(ParameterError, match="no address"):
        open_workers("http://", None)
