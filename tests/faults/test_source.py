"""What no line of the source may do: run what it was given, or trust what it was not asked to."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import vitascope

PACKAGE = Path(vitascope.__file__).parent
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp", "torch.hub.load"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "torch.jit.load", "pandas.read_pickle"),
    *("pd.read_pickle", "pd.eval", "ssl._create_unverified_context"),
}
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_ARGUMENTS = {"shell": True, "verify": False, "allow_pickle": True, "weights_only": False}


def offences(source: str) -> list[str]:
    """What a piece of source does that it may not, with the line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [f"{node.lineno}: import {n}" for n in names if n.split(".")[0] in FORBIDDEN_IMPORTS]
        if isinstance(node, ast.Call):
            found += [f"{node.lineno}: {what}" for what in call_offences(node)]
    return found


def call_offences(call: ast.Call) -> list[str]:
    name = ast.unparse(call.func)
    given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
    found = [name] if name in FORBIDDEN_CALLS else []
    found += [f"{name}({k}={v})" for k, v in given.items() if FORBIDDEN_ARGUMENTS.get(k, ...) is v]
    if name == "torch.load" and given.get("weights_only") is not True:
        found.append("torch.load without weights_only=True")
    return found


@pytest.mark.fault("D27")
@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_nothing_in_the_source_runs_or_trusts_what_it_was_given(path):
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)",
        "exec(text)",
        "import pickle",
        "from cloudpickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, map_location='cpu')",
        "yaml.load(text)",
        "subprocess.run(command, shell=True)",
        "requests.get(url, verify=False)",
        "np.load(path, allow_pickle=True)",
        "os.system('rm')",
    ],
)
def test_the_scan_finds_what_it_looks_for(line):
    assert offences(f"def f():\n    {line}\n") != []


def test_the_scan_lets_through_what_is_safe():
    assert offences("torch.load(p, weights_only=True); yaml.safe_load(t); subprocess.run(['ls'], shell=False)") == []
