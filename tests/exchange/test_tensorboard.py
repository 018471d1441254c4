import importlib.util

import pytest

from vitascope.core.errors import ModelError
from vitascope.exchange.tensorboard import write_events
from vitascope.io.models.training_log import RunRecord, put_record

HISTORY = [{"epoch": 1, "loss": 0.5, "pcc_DNA": 0.25}, {"epoch": 2, "loss": 0.125}]


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "runs.sqlite"
    run = RunRecord(
        key="abc", model="mine", task="stain", status="finished", parent="", started="2026-01-01T00:00:00",
        device="cpu", recipe="{}", versions={},
    )  # fmt: skip
    put_record(path, run, HISTORY)
    return path


def test_tensorboard_reads_the_curves_of_a_run(records, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert write_events(records, tmp_path / "events") == [tmp_path / "events" / "mine-abc"]
    found = EventAccumulator(str(tmp_path / "events" / "mine-abc"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(1, 0.5), (2, 0.125)]
    assert [(e.step, e.value) for e in found.Scalars("pcc_DNA")] == [(1, 0.25)]
    assert write_events(records, tmp_path / "events") == []


def test_a_missing_package_is_named(records, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'vitascope\[tensorboard\]'"):
        write_events(records, tmp_path / "events")
    assert not (tmp_path / "events").exists()
