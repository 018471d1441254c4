"""``vitascope serve`` where what it needs is not installed, and its options."""

import sys

import pytest
from typer.testing import CliRunner

from vitascope.cli.main import app


def invoke(*words):
    return CliRunner().invoke(app, ["serve", *words], env={"COLUMNS": "200"})


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("vitascope.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = invoke("--root", str(tmp_path), "--data", str(tmp_path / "data"))
    assert done.exit_code == 2
    assert "uvicorn" in done.output
    assert "pip install 'vitascope[serve]'" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--new-token", "ann"), "--token-file"),
        (("--new-token", "ann", "--scope", "all", "--token-file", "t"), "no scope"),
        (("--new-token", "a b", "--token-file", "t"), "no name"),
        (("--port", "70000"), "65535"),
        (("--workers", "0"), "workers"),
    ],
)
def test_what_cannot_be_used_is_refused(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in done.output
    assert list(tmp_path.iterdir()) == []
