"""Whether blurred images lie apart from clean ones in features, and in pictures of them: F1 beside a probe and chance.

``python -m tests.benchmarks embedding [SET ...] [--kinds]``; sets as in ``drift_real``. Section 4.2.3.1 of seed 004 says
"F1-score: 0.76 VS 0.64" and not of what. Images are parted in two halves. Axes and pictures are fitted to the clean images
of the first alone; its blurred ones (defocus 4, each the partner of an image that stays out of the clean ones) and the
other half are put into them. eps and min_samples of DBSCAN are chosen on the first half, F1 is that of the other; noise
counts as wrong. ``--kinds``: phases of the cell cycle (G1, S, G2) of Jurkat cells in place of blur. Each axis says which of
brightness and share of foreground it follows (rank correlation). Needs the extra ``embedding`` and VITASCOPE_DATA.
"""

import time

import numpy as np
from tests.benchmarks.drift_sets import SETS, features_of, jurkat, spoilt

from vitascope.core.paths import BUNDLED_MODELS
from vitascope.ops.intensity.appearance import APPEARANCE
from vitascope.stats.embedding.axes import fit_axes, followed
from vitascope.stats.embedding.clusters import separation
from vitascope.stats.embedding.layout import COMPONENTS, fit_layout

SEED, SEVERITY = 0, 4
TOLD = [APPEARANCE.index("brightness"), APPEARANCE.index("density")]


def halves_of(clean, blurred):
    """First half (clean, blurred) and other half, no image in two places: features, kinds, looks of each."""
    mixed = np.array_split(np.random.default_rng(SEED).permutation(len(clean[0])), 4)
    found = []
    for good, bad in ((mixed[0], mixed[1]), (mixed[2], mixed[3])):
        table = np.concatenate([clean[0][good], blurred[0][bad]])
        looks = np.concatenate([clean[1][good], blurred[1][bad]])
        found.append((table, ["clean"] * len(good) + ["blurred"] * len(bad), looks))
    return found, len(mixed[0])


def spaces(trusted):
    yield "PCA 10", fit_axes(trusted, 10).place
    yield "PCA 2", fit_axes(trusted, 2).place
    for count in COMPONENTS:
        yield f"PCA {count}, UMAP", fit_layout(trusted, "umap", count).place
    yield "PCA 50, PaCMAP", fit_layout(trusted, "pacmap", 50).place


def report(name, halves, trusted):
    (one, kinds, _), (two, others, looks) = halves
    print(f"\n{name}: {len(one)} images to choose on, {len(two)} to judge, axes fitted to {len(trusted)}")
    print("  space             DBSCAN F1  noise clusters  probe  chance (95 %)  axes follow brightness, foreground")
    for space, place in spaces(trusted):
        at = place(two)
        found = separation(place(one), kinds, at, others)
        told = "; ".join(f"{row[0]:+.2f}, {row[1]:+.2f}" for row in followed(at[:, :2], looks[:, TOLD]))
        print(
            f"  {space:16}  {found.f1:8.2f}  {found.noise:5.2f} {found.clusters:8}  {found.probe:5.2f}  {found.chance:5.2f} ({found.chance_high:.2f})   {told}",
            flush=True,
        )


def main(arguments):
    start = time.process_time()
    if "--kinds" in arguments:
        images = jurkat()
        kinds = np.repeat(["G1", "S", "G2"], len(images) // 3)
        table, looks = features_of(images, BUNDLED_MODELS / "dna-brightfield.json")
        parts = np.array_split(np.random.default_rng(SEED).permutation(len(images)), 2)
        halves = [(table[part], kinds[part].tolist(), looks[part]) for part in parts]
        report("jurkat, phases of the cell cycle by mosaic", halves, halves[0][0])
    for name in [one for one in arguments if one != "--kinds"] or ([] if arguments else ["chamber", "jurkat"]):
        images, card = SETS[name][0](), BUNDLED_MODELS / f"{SETS[name][1]}.json"
        clean, blurred = features_of(images, card), features_of(spoilt(images, "defocus", SEVERITY), card)
        halves, count = halves_of(clean, blurred)
        report(f"{name}, features of {SETS[name][1]}, clean against defocus {SEVERITY}", halves, halves[0][0][:count])
        seen, _ = halves_of((clean[1], clean[1]), (blurred[1], blurred[1]))
        report(f"{name}, how they look (6 numbers)", seen, seen[0][0][:count])
    print(f"{time.process_time() - start:.0f} s of one core in all")
