import importlib.metadata
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import vitascope
from vitascope.cli.main import app

COMMANDS = ("demo", "run", "train", "evaluate", "serve", "models")


def invoke(*words):
    return CliRunner().invoke(app, [*words], env={"COLUMNS": "200"})


def test_the_version_is_the_packages():
    done = invoke("--version")
    assert (done.exit_code, done.output.strip()) == (0, vitascope.__version__)
    assert importlib.metadata.version("vitascope") == vitascope.__version__


def test_help_lists_every_command_with_what_it_does():
    done = invoke("--help")
    assert done.exit_code == 0
    for command in COMMANDS:
        line = next(line for line in done.output.splitlines() if line.split()[:1] == [command])
        assert len(line.split()) > 3


def test_nothing_given_shows_the_help():
    assert "Usage: vitascope [OPTIONS] COMMAND" in invoke().output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(command):
    done = invoke(command, "--help")
    assert done.exit_code == 0
    assert f"Usage: vitascope {command}" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("words", [["eat"], ["--colour"], ["run", "--colour", "red"]])
@pytest.mark.fault("I11")
def test_what_is_no_command_or_option_ends_with_code_2(words):
    done = invoke(*words)
    assert done.exit_code == 2
    assert "No such" in done.output


LIGHT = """
import sys
from vitascope.cli.main import app
try:
    app(sys.argv[1:], prog_name="vitascope")
except SystemExit as end:
    assert not end.code, end.code
heavy = ("torch", "monai", "openvino", "pandas", "dask", "zarr", "scipy", "skimage", "tifffile", "matplotlib", "rich")
heavy += ("fastapi", "uvicorn")
print([name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        *([verb, "--help"] for verb in (*COMMANDS, "plate")),
        ["run", "stain", "--help-parameters"],
        ["models", "list"],
        ["models", "show", "nuclei-phase"],
    ],
    ids=" ".join,
)
def test_what_only_tells_loads_nothing_that_computes(words):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"
