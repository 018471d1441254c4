import random
import time

import pytest

from graph_support import SmallUNet, seeded, to_onnx
from vitascope.core.errors import ModelError
from vitascope.engine.graphs import trial
from vitascope.engine.graphs.measure import GraphQuestion
from vitascope.engine.graphs.trial import try_graph
from vitascope.io.models.onnx_file import check_onnx

pytest.importorskip("onnx")

QUESTION = GraphQuestion("x", "bcyx", 1, (1, None, None))
MUTANTS = 30


@pytest.fixture(scope="module")
def data():
    return to_onnx(seeded(SmallUNet, levels=1, width=2), (1, 1, 32, 32), free=(2, 3))


def mutated(data, seed):
    """A file with a few bytes changed, left out, or said again."""
    draw, found = random.Random(seed), bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, size = draw.randrange(len(found)), draw.randint(1, 12)
        kind = draw.choice(("flip", "drop", "repeat", "noise"))
        if kind == "flip":
            found[at] ^= 1 << draw.randrange(8)
        elif kind == "drop":
            del found[at : at + size]
        elif kind == "repeat":
            found[at:at] = found[at : at + size]
        else:
            found[at : at + size] = draw.randbytes(size)
    return bytes(found)


@pytest.mark.parametrize("seed", range(MUTANTS))
def test_a_mutated_file_is_refused_or_runs_and_nothing_else(data, seed):
    spoilt, told = mutated(data, seed), None
    try:
        found = check_onnx(spoilt, "net.onnx")
        asked = QUESTION if found.inputs and found.inputs[0].name == "x" else None
        if asked is not None:
            try_graph(spoilt, "net.onnx", asked, time_s=30, measure=False)
    except ModelError as error:
        told = error
    assert told is None or (told.message and told.hint)


def test_a_file_that_kills_or_holds_up_its_process_is_refused(data, monkeypatch, tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    (folder / "sleeps.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(trial, "CHILD", "dies")
    with pytest.raises(ModelError, match="ended the process"):
        try_graph(data, "net.onnx", QUESTION)
    monkeypatch.setattr(trial, "CHILD", "sleeps")
    start = time.monotonic()
    with pytest.raises(ModelError, match="within 1 s"):
        try_graph(data, "net.onnx", QUESTION, time_s=1)
    assert time.monotonic() - start < 20


def test_the_process_of_a_trial_gets_little_memory():
    pytest.importorskip("resource")
    import subprocess
    import sys

    code = (
        "from vitascope.engine.graphs.child import limit_memory\n"
        "limit_memory()\n"
        "try:\n    bytearray(5 << 30)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused"
