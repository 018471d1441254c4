"""How long a plate will take."""

import pytest
from typer.testing import CliRunner

from plate_support import SPEC, make_job, make_plate
from vitascope.batch.plate.estimate import TRIAL_IMAGES, PlateEstimate, estimate_plate
from vitascope.cli.main import app
from vitascope.core.errors import InputError
from vitascope.core.progress import run_to_end
from vitascope.tasks import registry


def test_a_trial_tells_the_time_of_an_image_and_leaves_nothing(tmp_path):
    plate = make_plate(tmp_path / "plate", 12)
    told = []
    found = run_to_end(estimate_plate(make_job(plate, tmp_path / "out", seconds=0.2)), told.append)
    assert (found.images, found.tried) == (12, TRIAL_IMAGES - 1)
    assert 0.2 <= found.image_s < 5
    assert found.memory_bytes > 1 << 20
    assert found.seconds >= 12 * 0.2
    assert told
    assert not (tmp_path / "out").exists()


def test_workers_share_the_images_and_each_is_paid():
    one, two = (PlateEstimate(101, 5, start_s=10, image_s=2, memory_bytes=1, workers=n) for n in (1, 2))
    assert one.seconds == 10 + 100 * 2
    assert two.seconds == 10 + 99
    assert one.price(3600) == pytest.approx(210)
    assert two.price(3600) == pytest.approx(218)


def test_a_plate_that_cannot_be_opened_is_not_estimated(tmp_path):
    job = make_job(make_plate(tmp_path / "plate", 2), tmp_path / "out")
    broken = tuple(type(site)(**{**vars(site), "problem": InputError("no")}) for site in job.plate)
    from dataclasses import replace

    with pytest.raises(InputError, match="no image"):
        run_to_end(estimate_plate(replace(job, plate=replace(job.plate, sites=broken))))


def test_the_command_says_time_memory_and_price_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "TASKS", (*registry.TASKS, SPEC))
    words = ["plate", str(make_plate(tmp_path / "plate", 4)), "--task", "fake", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--price-per-hour", "3600"])
    assert done.exit_code == 0, done.output
    assert "4 images" in done.output
    assert "Memory:" in done.output
    assert "Price:" in done.output
    assert not (tmp_path / "out").exists()
