"""Dose-response on real data: BBBC013's ordinal doses by two readings, and the controls of cellHTS2's screen.

``python -m tests.benchmarks response_real``. BBBC013 gives no concentrations: its doses are steps, taken as equally far
apart on the log axis (2^step), and nothing is called µM. cellHTS2 has no doses: normalisation, Z' and B-score.
"""

import numpy as np
from tests.benchmarks.phenotype_bbbc013 import ROWS, predict, wells

from vitascope.batch.response.inputs import read_response_table
from vitascope.core.errors import InputError
from vitascope.core.paths import BUNDLED_MODELS, training_data
from vitascope.io.tables.plate_reader import read_screen
from vitascope.stats.plate_normalise import normalise
from vitascope.stats.plate_quality import plate_quality
from vitascope.stats.response.analysis import fit_dose_response


def bbbc013(folder):
    plate, _ = predict(BUNDLED_MODELS / "translocation-bbbc013.json", wells(folder))
    rows = plate[plate["well"].str[0].isin(ROWS)].copy()
    rows["dose"] = np.where(rows["dose"] > 0, 2.0 ** rows["dose"], 0.0)
    rows["log_ratio"] = np.log(rows["ratio"])
    table = rows.assign(treatment=rows["well"].str[0].map("row {}".format), dose_unit="2^step", role="treated")
    for by in (["treatment"], []):
        found = fit_dose_response(table, dose="dose", response=["logit_positive", "ratio", "log_ratio"], by=by).curves
        for name, part in found.groupby(by or ["quantity"], sort=False):
            both = part.set_index("quantity")
            steps = {q: np.log2(both.loc[q, ["ic50", "ic50_low", "ic50_high"]].astype(float)) for q in both.index}
            for quantity, one in steps.items():
                row = both.loc[quantity]
                print(
                    f"  {'both rows' if not by else name[0]:10} {quantity:15} midpoint at step {one['ic50']:.2f} "
                    f"({one['ic50_low']:.2f} to {one['ic50_high']:.2f}), {row['quality']}, unit '{row['ic50_unit']}'"
                )
            for other in ("ratio", "log_ratio") if len(steps) == 3 else ():
                one, two = steps["logit_positive"], steps[other]
                overlap = max(one["ic50_low"], two["ic50_low"]) <= min(one["ic50_high"], two["ic50_high"])
                print(f"  logit_positive and {other}: apart by {abs(one['ic50'] - two['ic50']):.2f} steps; "
                      f"intervals overlap: {overlap}")  # fmt: skip


def screen(folder):
    path = next(folder.rglob("Platelist.txt"))
    table = read_screen(path, skip_missing=True)
    try:
        read_response_table(path)
    except InputError as error:
        print(f"  curves: {error.message} {error.hint}")
    by = ("plate",)
    pooled = plate_quality(table.assign(plate="all"), "signal").iloc[0]
    print(
        f"  {len(table)} wells on {table['plate'].nunique()} plates with one control of each kind: no Z' by plate; over "
        f"all plates Z' {pooled['z_prime']:.2f}, robust {pooled['robust_z_prime']:.2f}"
    )
    done = normalise(table, "signal", by=by)
    score = done.loc[done["role"] == "treated", ["plate", "signal_b_score"]].groupby("plate")["signal_b_score"]
    beyond = score.apply(lambda s: int((s.abs() > 3).sum()))
    print(
        f"  B-scores: medians within {score.median().abs().max():.4f} of 0; {beyond.min()} to {beyond.max()} beyond 3"
    )
    percent = done.loc[done["role"] == "positive", "signal_percent_of_control"]
    print(f"  positive controls in percent of the plate's negative one: median {percent.median():.1f}")


def main(arguments):
    data = training_data()
    print("BBBC013")
    bbbc013(data / "4_mil_hcs" / "bbbc013_sbs_plate")
    print("cellHTS2")
    screen(data / "6_plates_dose_response" / "cellhts2_ATP")
