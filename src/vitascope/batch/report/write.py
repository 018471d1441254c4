"""Writing a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitascope.batch.report.content import ReportContent, gather
from vitascope.core.errors import ParameterError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.io.atomic import check_writable, write_bytes

TEMPLATE = "report.html.j2"
CONTENTS = (
    ("run", "What was run"), ("trust", "Trust"), ("maps", "Plate map"), ("heat", "Heat maps"), ("quality", "Quality"),
    ("plates", "Controls and place"), ("curves", "Curves"), ("curves", "IC50"), ("margins", "Margins of safety"),
    ("wells", "Wells"), ("troubles", "Without a number"), ("methods", "Methods"),
)  # fmt: skip
IDS: Mapping[str, str] = {"Controls and place": "position", "IC50": "ic50", "Margins of safety": "liver"}


def run_report(folder: Path, out: Path) -> ProgressGenerator[Path]:
    """Write the report of a folder as one HTML file, whole or not at all.

    Parameters
    ----------
    folder : Path
        Of a run, a plate run, or of ``vitascope response``.
    out : Path
        Ends in ``.html``.

    Raises
    ------
    ParameterError
        If the name of the report ends otherwise.
    ReaderError, InputError
        If the folder holds no results.
    OutputError
        If the report cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ParameterError(f"'{out.name}' is no name for a report.", "End it in .html.")
    check_writable(out.absolute().parent)
    yield Progress(0, 2, "Gathering numbers, curves and pictures")
    report = gather(folder)
    yield Progress(1, 2, "Writing the report")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, render(report).encode("utf-8"))
    yield Progress(2, 2, "Done")
    return out


def render(report: ReportContent) -> str:
    """Lay a report out; all text is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    shown: dict[str, Any] = {**report.__dict__}
    shown["figures"] = [Markup(one) for one in report.figures]
    shown["waterfall"] = Markup(report.waterfall)
    contents = [(IDS.get(words, part), words) for part, words in CONTENTS if shown[part]]
    return environment.get_template(TEMPLATE).render(report=shown, contents=contents)
