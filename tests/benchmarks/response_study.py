"""A simulated study of 50 compounds: the IC50 from images beside the true one and beside an assay with its own noise.

``python -m tests.benchmarks response_study [viability|spheroid] [run]``. ``run`` draws and measures the images anew (half
an hour of one core for ``spheroid``) and keeps the wells in ``results/response_study_*.csv``; without it these are
fitted. Eight doses from 0.03 to 100 µM on every compound, true IC50s from 0.1 to 30 µM, none of the images in a recipe.
``viability``: bright-field spheroids of day 3, a plate a compound; ``spheroid``: stacks of 100 µm, the first 20
compounds. Three wells a dose. The assay is the living volume with a coefficient of variation of 8 %. The paper (seed 003) says 3 µM.

What keeps intervals from holding is taken apart: ``scale``, the mean number that the image gives at each true share alive
and no scatter at all; ``scatter``, the true share with the image's own scatter about that mean; each fitted as if all
wells scattered alike, by default, and with controls as wells of dose zero.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from sklearn.isotonic import IsotonicRegression

from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.simulate.spheroid_series import Setting, living_volume, make_spheroid, survival
from vitascope.simulate.spheroids import LIVE, StackParams, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics
from vitascope.stats.bootstrap import group_interval
from vitascope.stats.response.analysis import fit_dose_response
from vitascope.tasks.run import start

RESULTS = Path(__file__).parent / "results"
COMPOUNDS, STACKED, WELLS, CONTROLS = 50, 20, 3, 6
"""Compounds of either study, wells of each dose, and of the control."""
DOSES_UM = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
ASSAY_CV = 0.08
SEED = 77
"""Of the study; recipes draw from seed 0."""
DAY, SIDE_PX = 3, 128
PAPER_UM = 3.0
COLUMNS = ("plate", "treatment", "role", "dose", "dose_unit", "image", "assay", "truth", "flags", "interval_level")


def drawn(rng):
    """True IC50s, µM, and slopes."""
    return 10 ** rng.uniform(-1, np.log10(30), COMPOUNDS), rng.uniform(0.8, 3, COMPOUNDS)


def viability_wells():
    """Bright-field spheroids; compounds that do no harm are met on the way and kept, their truth infinite."""
    rng = np.random.default_rng(SEED)
    wanted, _ = drawn(rng)
    plate, found = 0, 0
    while found < COMPOUNDS:
        harmless = survival(SEED, Setting(plate, 0, DAY, 1e6)) > 0.5
        half = 1.0 if harmless else brentq(lambda d, p=plate: survival(SEED, Setting(p, 0, DAY, d)) - 0.5, 1e-3, 1e3)
        ic50 = np.inf if harmless else wanted[found]
        scale = half / (10.0 if harmless else ic50)
        layout = [("DMSO", "negative", 0.0)] * CONTROLS
        layout += [(f"Compound {plate:03d}", "treated", dose) for dose in DOSES_UM for _ in range(WELLS)]
        for well, (name, role, dose) in enumerate(layout):
            setting = Setting(plate, well, DAY, dose * scale)
            image = Micrograph.from_array(make_spheroid(SEED, setting, SIDE_PX).image, axes="YX", name="well")
            result = run_to_end(
                start("viability", image, model="viability-spheroid-sim", device="cpu", maps=False, abstain=False)
            )
            assay = 1e5 * living_volume(SEED, setting) * np.exp(rng.normal(0, ASSAY_CV))
            yield (f"P{plate:03d}", name, role, dose, "µM", result.rows[0]["viability"], assay, ic50,
                   ";".join(result.flags), result.interval_level)  # fmt: skip
        plate, found = plate + 1, found + (not harmless)


def spheroid_wells():
    """Stacks of live and dead dyes on one plate."""
    rng = np.random.default_rng(SEED + 1)
    ic50s, slopes = drawn(rng)
    layout = [("DMSO", "negative", 0.0, np.nan, 1.0, 1.0)] * CONTROLS
    layout += [
        (f"Compound {i:03d}", "treated", dose, ic50s[i], ic50s[i], slopes[i])
        for i in range(STACKED) for dose in DOSES_UM for _ in range(WELLS)
    ]  # fmt: skip
    voxel = (4.0, 1.0, 1.0)
    for number, (name, role, dose, truth, ic50, slope) in enumerate(layout):
        params = StackParams(
            diameter_um=100 * np.exp(rng.normal(0, 0.05)), dose=dose, ic50=ic50, slope=slope,
            brightness=float(np.exp(rng.normal(0, 0.1))),
        )  # fmt: skip
        stack = simulate_spheroid(params, voxel, VolumeOptics(), 70_000 + number)
        image = Micrograph.from_array(
            stack.image, axes="CZYX", pixel_size_um=1.0, z_step_um=4.0, channel_names=("live", "dead"), name="stack"
        )
        result = run_to_end(start("spheroid", image, device="cpu"))
        assay = int((stack.classes == LIVE).sum()) * np.exp(rng.normal(0, ASSAY_CV))
        yield ("P1", name, role, dose, "µM", result.rows[0]["viability_percent"], assay, truth,
               ";".join(result.flags), result.interval_level)  # fmt: skip


STUDIES = {"viability": viability_wells, "spheroid": spheroid_wells}
ALL_ALIVE = {"viability": 1.0, "spheroid": 100.0}
"""What the image says where all lives."""


def measure(kind):
    """Draw and measure all wells, and keep them."""
    rows = []
    for number, row in enumerate(STUDIES[kind]()):
        rows.append([f"{v:.6g}" if isinstance(v, float) else v for v in row])
        if number % 100 == 0:
            print(f"{kind}: {number} wells", file=sys.stderr, flush=True)
    with (RESULTS / f"response_study_{kind}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def deviations(name, found, other):
    """Print how far two IC50s lie apart, over compounds that both have within the doses."""
    both = np.isfinite(found) & np.isfinite(other)
    a, b = found[both], other[both]
    micro, log = np.abs(a - b), np.abs(np.log10(a / b))
    number = np.arange(both.sum())
    for what, values in (("|Δ| µM", micro), ("|Δ log10|", log)):
        middle, mean = (
            group_interval(number, lambda rows, v=values, f=f: float(f(v[rows])), resamples=2000, level=0.95)
            for f in (np.median, np.mean)
        )
        print(
            f"  {name:16} {what:10} median {middle.value:.3f} ({middle.low:.3f} to {middle.high:.3f}), "
            f"mean {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}), n = {both.sum()}"
        )
    print(f"  {name:16} within {PAPER_UM:g} µM: {int((micro < PAPER_UM).sum())} of {both.sum()}; "
          f"log10 bias {np.log10(a / b).mean():+.3f}")  # fmt: skip


FITS = {
    "scatter alike": {"scatter": "equal"},
    "default": {},
    "controls in the fit": {"fit_controls": True},
}


def true_share(wells, kind):
    """Share alive that each well was drawn with, without what its size or the optics add."""
    if kind == "viability":
        number = wells["plate"].str[1:].astype(int)
        slope = number.map(lambda p: np.random.default_rng((SEED, 11, p)).uniform(size=3)[2] * 2.5 + 1.5)
    else:
        slopes = drawn(np.random.default_rng(SEED + 1))[1]
        slope = (
            wells["treatment"].str.extract(r"(\d+)$")[0].astype(float).map(lambda i: slopes[int(i)], na_action="ignore")
        )
    dose, ic50 = wells["dose"].to_numpy(float), wells["truth"].to_numpy(float)
    treated = (wells["role"] == "treated").to_numpy() & np.isfinite(ic50)
    with np.errstate(invalid="ignore"):
        return np.where(treated, 1 / (1 + (dose / ic50) ** slope.to_numpy(float)), 1.0)


def causes(kind, wells, truth):
    """Print how often intervals hold the truth: as fitted, from the bent scale alone, and from the scatter alone."""
    share = ALL_ALIVE[kind] * true_share(wells, kind)
    known = wells["image"].notna().to_numpy()
    mean = IsotonicRegression(out_of_bounds="clip").fit(share[known], wells.loc[known, "image"]).predict(share)
    # a thousandth of scatter, for without any there is no interval
    tiny = np.random.default_rng(SEED).normal(0, 1e-3 * ALL_ALIVE[kind], len(wells))
    table = wells.assign(scale=mean + tiny, scatter=share + wells["image"] - mean)
    for name, settings in FITS.items():
        found = fit_dose_response(table, response=["image", "scale", "scatter", "assay"], **settings).curves
        for quantity, part in found.groupby("quantity", sort=False):
            own = part.set_index("treatment").loc[truth.index]
            ic50, low, high = (own[c].to_numpy(float) for c in ("ic50", "ic50_low", "ic50_high"))
            inside = np.isfinite(truth) & (own["relation"] == "=").to_numpy() & np.isfinite(ic50)
            below, above = (high < truth)[inside].sum(), (low > truth)[inside].sum()
            print(
                f"  {name:20} {quantity:8} intervals hold {inside.sum() - below - above} of {inside.sum()}, lie below for "
                f"{below}, above for {above}; log10 bias {np.log10(ic50[inside] / truth[inside]).mean():+.3f}"
            )


def report(kind):
    """Fit image and assay, and print how far their IC50s lie from the truth and from each other."""
    wells = pd.read_csv(RESULTS / f"response_study_{kind}.csv", keep_default_na=False, na_values=["nan"])
    truth = wells[wells["role"] == "treated"].groupby("treatment", sort=False)["truth"].first()
    leaks = wells["flags"].str.split(";").map(lambda words: "live_dye_leak" in words)
    dim = wells["assay"] < 0.02 * wells.loc[wells["role"] == "negative", "assay"].median()
    if leaks.any():
        print(
            f"  live_dye_leak: {int(leaks.sum())} wells, {int((leaks & dim).sum())} of the {int(dim.sum())} dead ones"
        )
        wells.loc[leaks, "image"] = np.nan  # as the task gives them
    curves = fit_dose_response(wells, dose="dose", response=["image", "assay"]).curves.set_index("treatment")
    parts = {name: part.loc[truth.index] for name, part in curves.groupby("quantity")}
    print(f"{kind}: {len(truth)} compounds, {len(wells)} wells")
    active = np.isfinite(truth.to_numpy(float))
    ic50 = {}
    for name, part in parts.items():
        ic50[name] = part["ic50"].where(part["relation"] == "=").to_numpy(float)
        told = part.loc[active, "quality"].value_counts().to_dict()
        inside = active & np.isfinite(ic50[name])
        holds = (part["ic50_low"] <= truth)[inside] & (truth <= part["ic50_high"])[inside]
        print(f"  {name}: active {told}; 95 % intervals hold the truth for {int(holds.sum())} of {int(inside.sum())}")
        if (~active).any():
            wrong = int(np.isfinite(ic50[name][~active]).sum())
            print(f"  {name}: an IC50 was given to {wrong} of {int((~active).sum())} compounds that do no harm")
    controls = wells.loc[wells["role"] == "negative", ["image", "assay"]].median()
    dead = wells[wells["assay"] < 0.02 * controls["assay"]]
    fooled = int((dead["image"] > 0.9 * controls["image"]).sum())
    print(
        f"  of {len(dead)} wells with less than 2 % of the controls' ATP the image calls {fooled} as good as the controls"
    )
    true = np.where(active, truth.to_numpy(float), np.nan)
    deviations("image - truth", ic50["image"], true)
    deviations("assay - truth", ic50["assay"], true)
    deviations("image - assay", ic50["image"], np.where(active, ic50["assay"], np.nan))
    causes(kind, wells, truth.astype(float))


def main(arguments):
    kinds = [name for name in arguments if name in STUDIES] or list(STUDIES)
    for kind in kinds:
        if "run" in arguments:
            measure(kind)
        report(kind)
