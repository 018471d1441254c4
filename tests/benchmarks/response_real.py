"""Dose-response on real data: BBBC013's ordinal doses by two readings, and the controls of cellHTS2's screen.

Both rows together are two repeats of one series: each row is a block, and intervals hold how rows differ.

``python -m tests.benchmarks response_real``. BBBC013 gives no concentrations: its doses are steps, taken as equally far
apart on the log axis (2^step), and nothing is called µM. cellHTS2 has no doses: normalisation, Z' and B-score.
"""

import numpy as np
from tests.benchmarks.phenotype_bbbc013 import ROWS, predict, translocation_by_cell, wells

from vitascope.batch.response.inputs import read_response_table
from vitascope.core.errors import InputError
from vitascope.core.paths import BUNDLED_MODELS, training_data
from vitascope.io.tables.plate_reader import read_screen
from vitascope.stats.plate_normalise import normalise
from vitascope.stats.plate_quality import plate_quality
from vitascope.stats.response.analysis import fit_dose_response

LEARNED, MEASURED = "logit_positive", ("share", "responding", "log_ratio", "ratio")


def equal_errors(negative, positive):
    """The ratio at which as large a share of the cells of either control is called wrongly."""
    tried = np.sort(np.concatenate([negative, positive]))
    wrong = np.searchsorted(np.sort(positive), tried, "right") / len(positive)
    wrong -= 1 - np.searchsorted(np.sort(negative), tried, "right") / len(negative)
    return float(tried[np.abs(wrong).argmin()])


def readings(plate):
    """The two rows with every dose, and what nuclear and ring GFP say on each scale.

    A ratio of two parts of one whole is no amount: it rises without end as the ring empties. ``share`` is the share of
    GFP that lies in the nucleus, ratio / (1 + ratio); ``responding`` the share of cells nearer to the positive control,
    told by their own ratio, where the limit comes from the control wells of the other rows. Neither was fitted to doses.
    """
    cells = [translocation_by_cell(np.asarray(image.array)) for image in plate["image"]]
    dosed = plate["well"].str[0].isin(ROWS)
    known = {
        name: np.concatenate([c for c, use in zip(cells, ~dosed & (plate["control"] == name), strict=True) if use])
        for name in ("negative", "positive")
    }
    limit = equal_errors(**known)
    print(
        f"  a cell responds above a ratio of {limit:.2f}: {(known['negative'] > limit).mean():.1%} of {len(known['negative'])} "
        f"negative and {(known['positive'] > limit).mean():.1%} of {len(known['positive'])} positive ones, other rows"
    )
    ratio = plate["ratio"]
    told = [float((one > limit).mean()) for one in cells]
    return plate.assign(share=ratio / (1 + ratio), log_ratio=np.log(ratio), responding=told)[dosed]


def bbbc013(folder):
    plate, _ = predict(BUNDLED_MODELS / "translocation-bbbc013.json", wells(folder))
    rows = readings(plate)
    rows["dose"] = np.where(rows["dose"] > 0, 2.0 ** rows["dose"], 0.0)
    table = rows.assign(treatment=rows["well"].str[0].map("row {}".format), dose_unit="2^step", role="treated")

    def fitted(**settings):
        return fit_dose_response(table, dose="dose", response=[LEARNED, *MEASURED], normalise="none", **settings).curves

    for name, part in fitted(by=["treatment"]).groupby("treatment"):
        compare(name, part.set_index("quantity"))
    compare("both rows, wells alike", fitted(by=[], scatter="equal").set_index("quantity"))
    compare("both rows as blocks", fitted(by=[], blocks=["treatment"]).set_index("quantity"))


def compare(name, curves):
    """Print the midpoint of each reading in steps, and how far it lies from that of the model."""
    steps = {q: np.log2(curves.loc[q, ["ic50", "ic50_low", "ic50_high"]].astype(float)) for q in curves.index}
    one = steps[LEARNED]
    for quantity, two in steps.items():
        row = curves.loc[quantity]
        overlap = max(one["ic50_low"], two["ic50_low"]) <= min(one["ic50_high"], two["ic50_high"])
        print(
            f"  {name:22} {quantity:15} midpoint at step {two['ic50']:.2f} ({two['ic50_low']:.2f} to "
            f"{two['ic50_high']:.2f}), {row['quality']}, unit '{row['ic50_unit']}'; apart by "
            f"{abs(one['ic50'] - two['ic50']):.2f}, intervals overlap: {overlap}"
        )


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
