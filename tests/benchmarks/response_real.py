"""Dose-response on real data: BBBC013's ordinal doses by two readings, and the controls of cellHTS2's screen.

``python -m tests.benchmarks response_real``. By BBBC013's own plate maps rows A to D hold Wortmannin and rows E to H
LY294002, nine doses each in columns 3 to 11, a factor of two apart; what CellProfiler's table calls dose 10 (column 12
of rows A to D, column 1 of rows E to H) is the positive control, and no step of the series. Rows A and E are thus a
curve each. The concentrations are not in the table: doses are steps (2^step), and nothing is called µM. cellHTS2 has no
doses: normalisation, Z' and B-score.
"""

import numpy as np
from scipy import ndimage
from tests.benchmarks.phenotype_bbbc013 import (
    ROWS,
    find_nuclei,
    predict,
    translocation,
    translocation_by_cell,
    wells,
)

from vitascope.batch.response.inputs import read_response_table
from vitascope.core.errors import InputError
from vitascope.core.paths import BUNDLED_MODELS, training_data
from vitascope.io.tables.plate_reader import read_screen
from vitascope.stats.plate_normalise import normalise
from vitascope.stats.plate_quality import plate_quality
from vitascope.stats.response.analysis import fit_dose_response

LEARNED = "logit_positive"
MEASURED = ("share", "responding", "log_ratio", "ratio")
AMOUNT = "share"
"""The reading that is compared: what moves is GFP, and this is the part of it that has."""
FAR_PX = 40
"""Ground lies at least so far from any nucleus."""


def equal_errors(negative, positive):
    """The ratio at which as large a share of the cells of either control is called wrongly."""
    tried = np.sort(np.concatenate([negative, positive]))
    wrong = np.searchsorted(np.sort(positive), tried, "right") / len(positive)
    wrong -= 1 - np.searchsorted(np.sort(negative), tried, "right") / len(negative)
    return float(tried[np.abs(wrong).argmin()])


def ground(image):
    """Mean GFP where there are no cells: what camera and medium add to nucleus and ring alike."""
    return float(image[0][ndimage.distance_transform_edt(~find_nuclei(image)) > FAR_PX].mean())


def freed(image):
    """The image with its ground taken from GFP."""
    pixels = np.asarray(image, float)
    return np.stack([pixels[0] - ground(pixels), pixels[1]])


def readings(plate):
    """The dosed wells of the rows that are whole, and what nuclear and ring GFP say on each scale, with the ground freed.

    ``share`` is ratio / (1 + ratio): GFP of the nucleus over that of nucleus and ring, as the fractional localised
    intensity of the nucleus (Morelock et al., Assay Drug Dev. Technol. 3:483, 2005), of means instead of sums, for the
    ring samples the cytoplasm. ``log_ratio`` is its log odds. ``responding`` is the share of cells nearer to the
    positive control, told by their own ratio, where the limit comes from the control wells of the other rows; it is the
    same on every scale. None was fitted to doses. ``raw_ratio`` keeps the ground.
    """
    images = [freed(image.array) for image in plate["image"]]
    cells = [translocation_by_cell(image) for image in images]
    whole = plate["well"].str[0].isin(ROWS)
    known = {
        name: np.concatenate([c for c, use in zip(cells, ~whole & (plate["control"] == name), strict=True) if use])
        for name in ("negative", "positive")
    }
    limit = equal_errors(**known)
    print(
        f"  a cell responds above a ratio of {limit:.2f}: {(known['negative'] > limit).mean():.1%} of {len(known['negative'])} "
        f"negative and {(known['positive'] > limit).mean():.1%} of {len(known['positive'])} positive ones, other rows"
    )
    ratio = np.array([translocation(image) for image in images])
    told = [float((one > limit).mean()) for one in cells]
    found = plate.assign(
        share=ratio / (1 + ratio), log_ratio=np.log(ratio), responding=told, raw_ratio=plate["ratio"], ratio=ratio
    )
    return found[whole & (plate["control"] != "positive")]


def bbbc013(folder):
    plate, _ = predict(BUNDLED_MODELS / "translocation-bbbc013.json", wells(folder))
    rows = readings(plate)
    rows["dose"] = np.where(rows["dose"] > 0, 2.0 ** rows["dose"], 0.0)
    table = rows.assign(treatment=rows["well"].str[0].map("row {}".format), dose_unit="2^step", role="treated")
    curves = fit_dose_response(
        table, dose="dose", response=[LEARNED, *MEASURED, "raw_ratio"], normalise="none", by=["treatment"]
    ).curves
    for name, part in curves.groupby("treatment"):
        compare(name, part.set_index("quantity"))


def compare(name, curves):
    """Print the midpoint of each reading in steps, and how far it lies from that of the model."""
    steps = {q: np.log2(curves.loc[q, ["ic50", "ic50_low", "ic50_high"]].astype(float)) for q in curves.index}
    one = steps[LEARNED]
    for quantity, two in steps.items():
        row = curves.loc[quantity]
        overlap = max(one["ic50_low"], two["ic50_low"]) <= min(one["ic50_high"], two["ic50_high"])
        print(
            f"  {name} {quantity + (' *' if quantity == AMOUNT else ''):15} midpoint at step {two['ic50']:.2f} ({two['ic50_low']:.2f} to "
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
