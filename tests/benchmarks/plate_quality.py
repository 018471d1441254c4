"""Plate quality: closed forms on constructed plates, and the controls of two real screens.

``python -m tests.benchmarks plate_quality``. The real screens lie under ``VITASCOPE_DATA``; without it they are left
out. cellHTS2's plates (Artistic-2.0) are read where they lie and are no part of this project.
"""

import math

import numpy as np

from vitascope.core.paths import training_data
from vitascope.core.well import Well
from vitascope.io.plates.read import open_plate
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.io.tables.plate_reader import read_screen
from vitascope.stats.plate_normalise import b_score, normalise
from vitascope.stats.plate_quality import MAD_TO_SD, plate_quality, ssmd, z_prime

SCREEN = "6_plates_dose_response/cellhts2_ATP/KcViab/Platelist.txt"
TRANSLOCATION = "4_mil_hcs/bbbc013_sbs_plate"
COLUMNS = [
    "z_prime",
    "robust_z_prime",
    "ssmd",
    "cv_negative_percent",
    "signal_to_background",
    "edge_percent",
    "edge_p",
    "row_p",
    "column_p",
]


def constructed():
    """The largest error of each number on plates whose answer is known."""
    rng = np.random.default_rng(0)
    errors = {"Z'": 0.0, "SSMD": 0.0, "B-score": 0.0}
    for _ in range(1000):
        m_n, m_p = rng.uniform(1, 1e6, 2)
        s_n, s_p = rng.uniform(0.01, 0.2, 2) * (m_n, m_p)
        base = [np.linspace(-1, 1, n) for n in rng.integers(3, 30, 2)]
        negative, positive = (m + s * b / b.std(ddof=1) for m, s, b in zip((m_n, m_p), (s_n, s_p), base, strict=True))
        z = 1 - 3 * (s_n + s_p) / abs(m_n - m_p)
        d = (m_p - m_n) / math.hypot(s_n, s_p)
        errors["Z'"] = max(errors["Z'"], abs(z_prime(negative, positive) - z) / abs(z))
        errors["SSMD"] = max(errors["SSMD"], abs(ssmd(negative, positive) - d) / abs(d))
        chequered = np.where(np.add.outer(np.arange(16), np.arange(24)) % 2, 1.0, -1.0)
        plate = rng.normal(0, 100, 16)[:, None] + rng.normal(0, 100, 24)[None, :] + chequered
        errors["B-score"] = max(errors["B-score"], float(np.abs(b_score(plate) - chequered / MAD_TO_SD).max()))
    for name, error in errors.items():
        print(f"{name:8} largest relative error on 1000 constructed plates {error:.1e}")


def screen(data):
    """Twelve plates of Kc167 viability, two replicates each: one negative and one positive control a plate."""
    table = read_screen(data / SCREEN, skip_missing=True)
    table.loc[table["excluded"] != "", "signal"] = np.nan
    pooled = table.assign(plate="all")
    scaled = normalise(table, "signal", ["percent_of_control", "b_score"])
    print(
        f"\ncellHTS2 KcViab: {table['plate'].nunique()} plates, {int(table['signal'].isna().sum())} wells flagged or empty"
    )
    print("controls of all plates, raw signal and in percent of each plate's own samples:")
    medians = table["plate"].map(table[table["role"] == "treated"].groupby("plate")["signal"].median())
    relative = pooled.assign(relative=100 * table["signal"] / medians)
    for value, part in (("signal", pooled), ("relative", relative)):
        print(plate_quality(part, value)[["value", "n_negative", "n_positive", *COLUMNS[:5]]].to_string(index=False))
    quality = plate_quality(table, "signal")
    print("position, by plate (negative controls lie in one well, so the samples are tested):")
    print(quality[["plate", "position_n", "edge_percent", "edge_p", "row_p", "column_p"]].to_string(index=False))
    after = plate_quality(scaled, "signal_b_score")
    print(
        f"plates with a row effect at 1 %: {(quality['row_p'] < 0.01).sum()} before, {(after['row_p'] < 0.01).sum()} after the B-score"
    )


def nuclear_share(image):
    """Brightness of the green channel inside the nuclei over that of a ring around them."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    green, dna = (np.asarray(image.plane(c=c), float) for c in (0, 1))
    nuclei = ndimage.binary_opening(ndimage.gaussian_filter(dna, 1) > threshold_otsu(dna), iterations=2)
    ring = ndimage.binary_dilation(nuclei, iterations=6) & ~ndimage.binary_dilation(nuclei, iterations=2)
    return green[nuclei].mean() / green[ring].mean()


def translocation(data):
    """BBBC013: FKHR-GFP in nuclei, 96 wells, the controls of the source's own table."""
    plate = open_plate(data / TRANSLOCATION)
    known = read_plate_map(
        data / TRANSLOCATION / "1049_Metadata.csv", columns={"dose": "SBS_Doses", "role": "SBS_Controls"}
    )
    table = known.table[known.table["well"].isin([str(well) for well in plate.wells])].assign(plate=plate.name)
    table["nuclear_share"] = [nuclear_share(plate.in_well(Well.parse(well))[0].open()) for well in table["well"]]
    found = plate_quality(table, "nuclear_share", size=96)
    print("\nBBBC013, nuclear over ring brightness of FKHR-GFP:")
    print(found[["n_negative", "n_positive", *COLUMNS[:5]]].to_string(index=False))


def main(arguments):
    constructed()
    data = training_data()
    if data is None:
        print("VITASCOPE_DATA does not say where the real screens are: left out.")
        return
    screen(data)
    translocation(data)
