"""Check ``requirements.lock`` against ``pyproject.toml``, then ask pip-audit for known weaknesses if it can be reached.

Every requirement of the service is locked to one version that it allows, with a hash. Ends with 1 where one is not, or
where pip-audit knows of a weakness; a machine that cannot reach its database says so and passes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
NOT_LOCKED = {"torch"}


def locked() -> dict[str, tuple[str, int]]:
    """Read each name's version and number of hashes."""
    found: dict[str, tuple[str, int]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text("utf-8")):
        if head := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", block):
            found[canonicalize_name(head[1])] = (head[2], block.count("--hash=sha256:"))
    return found


def faults() -> list[str]:
    """Say what the lock lacks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["serve"])]
    own, said = locked(), []
    for one in wanted:
        name = canonicalize_name(one.name)
        if name in NOT_LOCKED or (one.marker is not None and not one.marker.evaluate(default_environment())):
            continue
        if name not in own:
            said.append(f"{name} is not locked: run .ci/lock.")
        elif not one.specifier.contains(own[name][0], prereleases=True):
            said.append(f"{name} is locked at {own[name][0]}, and {one.specifier} is asked for: run .ci/lock.")
    return said + [f"{name} has no hash: run .ci/lock." for name, (_, hashes) in own.items() if not hashes]


def audit() -> int:
    """Ask pip-audit; 0 where it knows of nothing, or is not here, or cannot ask."""
    if shutil.which("pip-audit") is None:
        print("pip-audit is not installed: known weaknesses were not looked up.")
        return 0
    command = ["pip-audit", "-r", str(ROOT / "requirements.lock"), "--require-hashes", "--disable-pip"]
    done = subprocess.run(
        [*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False, timeout=300
    )
    if "could not be audited" in done.stdout and "Known Vulnerabilities" not in done.stdout:
        print("pip-audit could not reach its database: known weaknesses were not looked up.")
        return 0
    print(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    wrong = faults()
    print("\n".join(wrong) or f"requirements.lock: {len(locked())} packages, each with hashes.")
    sys.exit(1 if wrong else audit())
