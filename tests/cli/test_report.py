"""``vitascope report``: one file that needs nothing else, and shows names as they are."""

import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from response_support import logistic
from vitascope.cli.main import app

HOSTILE = "<script>alert(1)</script>"


def call(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def plate(folder):
    """Results of a plate of 96 as a run leaves them, one treatment with a hostile name."""
    rng = np.random.default_rng(0)
    rows = []
    for at in range(96):
        well = f"{'ABCDEFGH'[at // 12]}{at % 12 + 1:02d}"
        role = "negative" if at % 12 == 0 else "positive" if at % 12 == 11 else "treated"
        dose = 10.0 ** (at % 12 - 6) if role == "treated" else None
        value = {"negative": 100.0, "positive": 5.0}.get(role) or float(logistic([dose])[0])
        rows.append({
            "image": f"P_{well}", "plate": "P", "well": well, "field": "", "time": "",
            "status": "FAILED" if well == "H06" else "WARN" if well == "A05" else "OK",
            "flags": "error" if well == "H06" else "saturated" if well == "A05" else "",
            "treatment": HOSTILE if role == "treated" else "DMSO", "dose": dose, "dose_unit": "µM", "role": role,
            "viability_percent": None if well == "H06" else value + rng.normal(0, 2), "unit": "%",
            "interval_level": 0.9, "model": "spheroid-live-dead", "message": "=1+1 went wrong" if well == "H06" else "",
        })  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    (folder / "provenance.json").write_text('{"task": "spheroid", "model": "spheroid-live-dead", "device": "cpu"}')


def check(text):
    """A page that loads nothing, runs nothing, and escapes names."""
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:|#)", re.sub(r"xlink:href=\"#[^\"]*\"", "", text))
    assert not re.findall(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text
    assert "@page" in text


def test_a_run_with_doses(tmp_path):
    plate(tmp_path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    done = call("report", tmp_path, "-o", tmp_path / "r" / "report.html")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    check(text)
    for words in ("94 of 96 images OK", "1 of 96 images FAILED", "Plate map", "Heat maps", "IC50", "Z&#39;",
                  "=1+1 went wrong", "profile likelihood", "Bates", "numpy", "Highest and lowest",
                  "structured illumination"):  # fmt: skip
        assert words in text, words
    found = re.search(r"IC50 ([\d.]+) µM \(([\d.]+) to ([\d.]+)\)", text)
    assert float(found[1]) == pytest.approx(1.0, rel=0.1)
    assert float(found[2]) < 1.0 < float(found[3])
    assert text.count("<rect") >= 2 * 96
    assert re.search(r"<br>[^<]+ [\d.]+ µM", text)  # what a well that is shown holds, and how much
    assert before == {one.name: one.read_bytes() for one in tmp_path.iterdir() if one.is_file()}


def test_a_folder_of_curves_says_what_its_tables_say(tmp_path):
    doses = np.repeat([0.1, 0.3, 1, 3, 10, 30], 2)
    values = logistic(doses, ic50=3) + np.random.default_rng(0).normal(0, 2, 12)
    table = pd.DataFrame({"treatment": HOSTILE, "dose": doses, "dose_unit": "nM", "value": values})
    table.to_csv(tmp_path / "t.csv", index=False)
    call("response", tmp_path / "t.csv", "--value", "value", "-o", tmp_path / "out", "--set", "interval=delta")
    assert call("report", tmp_path / "out", "-o", tmp_path / "r.html").exit_code == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    check(text)
    row = pd.read_csv(tmp_path / "out" / "curves.csv").iloc[0]
    assert f"IC50 {row['ic50']:.3g} nM ({row['ic50_low']:.3g} to {row['ic50_high']:.3g})" in text
    assert "the delta method" in text


def test_what_is_no_folder_of_results_is_refused(tmp_path):
    assert "holds no results" in call("report", tmp_path, "-o", tmp_path / "r.html").stderr
    plate(tmp_path)
    done = call("report", tmp_path, "-o", tmp_path / "r.pdf")
    assert (done.exit_code, "End it in .html" in done.stderr) == (2, True)
    assert {one.name for one in tmp_path.iterdir()} == {"results.csv", "provenance.json"}
