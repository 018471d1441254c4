import hashlib
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from vitascope.core.errors import ModelError
from vitascope.training.loop.checkpoint import LATEST, PREVIOUS, load_state, save_state


def state(step):
    return {"network": {"w": torch.full((1000,), float(step))}, "numbers": {"step": step, "losses": [0.5, 0.25]}}


def same(first, second):
    return torch.equal(first["network"]["w"], second["network"]["w"]) and first["numbers"] == second["numbers"]


def test_a_state_is_read_back_and_the_one_before_it_kept(tmp_path):
    assert load_state(tmp_path) is None
    for step in (1, 2, 3):
        save_state(tmp_path, state(step))
    found, name = load_state(tmp_path)
    assert same(found, state(3))
    assert name == LATEST
    (tmp_path / LATEST).unlink()
    found, name = load_state(tmp_path)
    assert same(found, state(2))
    assert name == PREVIOUS


@pytest.mark.fault("F09")
@pytest.mark.fault("D11")
@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "text"])
def test_any_damage_to_the_latest_is_noticed_and_the_previous_used(tmp_path, how, caplog):
    """torch itself loads a flipped byte of a tensor without a word."""
    save_state(tmp_path, state(1))
    save_state(tmp_path, state(2))
    data = (tmp_path / LATEST).read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(data), 20 if how == "flipped" else 1):
        bad = bytearray(data)
        bad[position] ^= 1
        (tmp_path / LATEST).write_bytes(
            {"cut": data[:-1], "empty": b"", "flipped": bytes(bad), "text": b"nothing of ours" * 9}[how]
        )
        found, name = load_state(tmp_path)
        assert same(found, state(1))
        assert name == PREVIOUS
    assert "latest.pt is damaged" in caplog.text


@pytest.mark.fault("F09")
def test_a_damaged_latest_never_replaces_the_previous(tmp_path):
    save_state(tmp_path, state(1))
    save_state(tmp_path, state(2))
    (tmp_path / LATEST).write_bytes(b"damaged")
    load_state(tmp_path)
    save_state(tmp_path, state(2))
    assert same(load_state(tmp_path)[0], state(2))
    (tmp_path / LATEST).unlink()
    assert same(load_state(tmp_path)[0], state(1))


def test_damage_to_both_is_refused_with_what_to_do(tmp_path):
    for name in (LATEST, PREVIOUS):
        (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="damaged or are none of ours") as caught:
        load_state(tmp_path)
    assert "Delete the folder" in caught.value.hint


class Payload:
    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.mkdir, (str(self.sentinel),)


@pytest.mark.parametrize("form", ["torch.save", "pickle", "module"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.fault("D01")
@pytest.mark.fault("D02")
@pytest.mark.fault("D03")
def test_a_checkpoint_that_would_run_something_is_refused_and_never_run(tmp_path, form, signed):
    """With a hash put right, too: what is in the file still may not execute."""
    sentinel = tmp_path / "was-run"
    path = tmp_path / LATEST
    if form == "pickle":
        path.write_bytes(pickle.dumps(Payload(sentinel)))
    else:
        torch.save(Payload(sentinel) if form == "torch.save" else torch.nn.Linear(2, 2), path)
    if signed:
        data = path.read_bytes()
        path.write_bytes(hashlib.sha256(data).digest() + data)
    with pytest.raises(ModelError, match="none of ours"):
        load_state(tmp_path)
    assert not sentinel.exists()


WRITER = """
import sys, torch
from pathlib import Path
from vitascope.training.loop.checkpoint import save_state
print("ready", flush=True)
step = 0
while True:
    step += 1
    save_state(Path(sys.argv[1]), {"w": torch.full((200_000,), float(step)), "step": step})
"""


@pytest.mark.fault("F07")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_at_any_time_while_writing_a_whole_checkpoint_is_there(tmp_path):
    """Thirty moments: six writers, each held four times while what lies there is read, then killed."""
    rng = np.random.default_rng(0)
    for start in range(6):
        folder = tmp_path / str(start)
        folder.mkdir()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
        try:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(0.2)
            for _ in range(4):
                time.sleep(rng.uniform(0, 0.03))
                os.kill(writer.pid, signal.SIGSTOP)
                os.waitpid(writer.pid, os.WUNTRACED)
                check_whole(folder, tmp_path / "copy")
                os.kill(writer.pid, signal.SIGCONT)
            time.sleep(rng.uniform(0, 0.03))
        finally:
            writer.kill()
            writer.communicate()
        check_whole(folder, tmp_path / "copy")


def check_whole(folder, copy):
    """What a new process would find: the files as they lie there now."""
    copy.mkdir(exist_ok=True)
    for name in (LATEST, PREVIOUS):
        (copy / name).unlink(missing_ok=True)
        if (folder / name).exists():
            (copy / name).write_bytes((folder / name).read_bytes())
    found, _ = load_state(copy)
    assert (found["w"] == found["step"]).all()
