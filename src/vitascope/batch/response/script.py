"""The same analysis as a command and as Python."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from vitascope.stats.response.params import ResponseParams

OPTIONS = ("direction", "normalise", "correct")
"""Settings that have an option of their own."""


def changed(params: ResponseParams) -> dict[str, Any]:
    """Return the settings that are not at their defaults."""
    plain = ResponseParams()
    return {name: value for name, value in params.model_dump().items() if value != getattr(plain, name)}


def as_command(source: Path, value: str, params: ResponseParams, out: Path | None = None) -> str:
    """Return the command that fits the same."""
    words = ["vitascope", "response", str(source), "--value", value]
    for name, setting in changed(params).items():
        words += [f"--{name}", str(setting)] if name in OPTIONS else ["--set", f"{name}={setting}"]
    return shlex.join([*words, "-o", str(out or "curves")])


def as_python(source: Path, value: str, params: ResponseParams) -> str:
    """Return the lines that fit the same."""
    settings = "".join(f", {name}={setting!r}" for name, setting in changed(params).items())
    return (
        "import vitascope\n\n"
        f"result = vitascope.fit_dose_response({str(source)!r}, response={value!r}{settings})\n"
        "print(result.curves)\n"
    )
