"""Views of transmitted light with a nuclear stain, laboratory by laboratory, and what makes them worse."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from vitascope.core.paths import training_data
from vitascope.io.images.read import read_image
from vitascope.ops.intensity.corruption import defocus
from vitascope.simulate.transmitted import draw_light

FIRST = "1_insilico_labelling"
LABORATORIES = ("cellpainting", "isl", "piximi", "jurkat")


@dataclass(frozen=True)
class View:
    """A piece of an image as a user would open it, its stain, and which pixels count."""

    laboratory: str
    name: str
    image: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    corruption: str = "none"
    severity: int = 0


def plane(name: str, channel: int = 0) -> np.ndarray:
    return np.asarray(read_image(str(training_data() / FIRST / name), fallback_axes="CYX").plane(0, channel, 0))


def whole(laboratory: str) -> list[View]:
    """The fields of a laboratory, in focus, as they are opened."""
    if laboratory == "cellpainting":
        image, truth = (
            plane(f"cellpainting_bf_5stains/{n}.tif") for n in ("ch1_brightfield_high", "ch5_DNA_hoechst33342")
        )
        weight = np.ones(image.shape, bool)
        weight[235:430, 440:620] = False  # a clump of floating cells, out of focus in the stain
        return [View(laboratory, "field", image, truth, weight)]
    if laboratory == "isl":
        folder = "isl_conditionB_wellA4"
        truth = plane(f"{folder}/DAPI_confocal_maxproj.png")
        return [
            View(laboratory, f"z{z:02}", plane(f"{folder}/phase_z{z:02}.png"), truth, np.ones(truth.shape, bool))
            for z in (4, 6, 8)
        ]
    if laboratory == "piximi":
        name = "piximi_neuron_dic_4fluor/8b_5c_rat_hippocampal_neuron.tif"
        truth = ndimage.shift(plane(name, 3), (5, -8), order=0, mode="nearest")
        weight = np.ones(truth.shape, bool)
        weight[:5], weight[:, -8:] = False, False
        return [View(laboratory, "field", plane(name, 4), truth, weight)]
    found = []
    for phase, number in (("G1", 8), ("S_phase", 9), ("G2", 8), ("Prophase", 1)):
        image, truth = (
            plane(f"mlcp_flow_bf_dna/{phase}__{what}_CP000{number}.tif") for what in ("brightfield__Ch3", "PI_DNA__Ch4")
        )
        found.append(View(laboratory, phase, image[:800], truth[:800], np.ones((800, image.shape[1]), bool)))
    return found


def cut(view: View, side: int, most: int) -> list[View]:
    """Views of ``side`` px, spread evenly, that hold at least a nucleus."""
    height, width = view.image.shape
    side = min(side, height, width)
    rows, columns = max(1, height // side), max(1, width // side)
    places = [
        (round((height - side) * (r / max(1, rows - 1))) if rows > 1 else 0,
         round((width - side) * (c / max(1, columns - 1))) if columns > 1 else 0)
        for r in range(rows) for c in range(columns)
    ]  # fmt: skip
    chosen = [places[i] for i in np.unique(np.linspace(0, len(places) - 1, most).astype(int))]
    found = []
    low, high = np.percentile(view.truth, (50, 99.9))
    for y, x in chosen:
        window = (slice(y, y + side), slice(x, x + side))
        bright = (view.truth[window] > low + 0.4 * (high - low)) & view.weight[window]
        if view.weight[window].mean() > 0.7 and bright.sum() > 150:  # half a small nucleus
            found.append(
                replace(view, name=f"{view.name} {side}px {y},{x}", image=view.image[window], truth=view.truth[window],
                        weight=view.weight[window])
            )  # fmt: skip
    return found


def views(laboratory: str) -> list[View]:
    """Clean views of 256 to 512 px of a laboratory, seven or so, fields and sizes in turn."""
    fields, found = whole(laboratory), []
    several = len(fields) > 1
    for number, field in enumerate(fields):
        for side, most in ((256, 1 if several else 4), (384, 1 if several else 2), (512, 1)):
            if not several or (number + side // 128) % 2:
                found += cut(field, side, most + several)[-most:]
    return found


def strip() -> list[View]:
    """The rows of the first field that the twins of ``nuclei-phase`` never saw."""
    found = []
    for field in whole("isl"):
        rows = slice(600, 768)
        cut_off = replace(field, image=field.image[rows], truth=field.truth[rows], weight=field.weight[rows])
        for left in (0, 384, 640):
            columns = (slice(None), slice(left, left + 384))
            found.append(
                replace(cut_off, name=f"{field.name} strip {left}", image=cut_off.image[columns],
                        truth=cut_off.truth[columns], weight=cut_off.weight[columns])
            )  # fmt: skip
    return found


def training() -> list[View]:
    """Views of the field that ``nuclei-phase`` was trained on: what their statistics are, not how good it is there."""
    fields = whole("isl")
    found = [
        view for field in fields for side, most in ((256, 12), (384, 4), (512, 2)) for view in cut(field, side, most)
    ]
    return [replace(view, laboratory="training") for view in found]


def zoomed(view: View, factor: float) -> View:
    def to(values: np.ndarray, order: int) -> np.ndarray:
        values = np.asarray(values, np.float32)
        if factor < 1:
            values = ndimage.gaussian_filter(values, (1 / factor - 1) / 2) if order else values
        return ndimage.zoom(values, factor, order=order)

    return replace(view, image=to(view.image, 1), truth=to(view.truth, 1), weight=to(view.weight, 0) > 0.5)


def worse(view: View, seed: int = 0) -> Iterator[View]:
    """A view as it is, and under each corruption; severity 1 is slight, 3 is strong."""
    yield view
    image = np.asarray(view.image, np.float32)
    spread, rng = float(np.std(image)), np.random.default_rng(seed)
    for severity, radius in ((1, 2.0), (2, 4.0), (3, 8.0)):
        yield replace(view, image=defocus(image, radius), corruption="defocus", severity=severity)
    for severity, sigma in ((1, 0.3), (2, 0.8), (3, 2.0)):
        noisy = image + rng.standard_normal(image.shape).astype(np.float32) * sigma * spread
        yield replace(view, image=noisy, corruption="noise", severity=severity)
    yield replace(view, image=image.max() + image.min() - image, corruption="inverted", severity=2)
    for severity, factor in ((1, 1.5), (1, 0.7)):
        yield replace(zoomed(view, factor), corruption="zoom", severity=severity)
    y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    shaded = image + 3 * spread * (x + 0.5 * y * y).astype(np.float32)
    yield replace(view, image=shaded, corruption="shading", severity=2)


def negatives() -> list[View]:
    """Pictures that no model of nuclei in transmitted light can be right on: their agreement counts as 0."""
    from skimage import data

    found = []
    for name in ("camera", "page", "text", "coins", "moon", "brick", "grass", "gravel"):
        picture = np.asarray(getattr(data, name)(), np.float32)[:512, :512]
        found.append((f"photograph {name}", picture))
    for name in ("chelsea", "rocket", "astronaut"):
        found.append((f"photograph {name}", np.asarray(getattr(data, name)(), np.float32).mean(-1)[:300, :384]))
    for laboratory in LABORATORIES:
        found += [
            (f"stain as input, {v.laboratory}", np.asarray(v.truth, np.float32))
            for v in cut(whole(laboratory)[0], 384, 2)
        ]
    rng = np.random.default_rng(0)
    found.append(("noise", rng.standard_normal((384, 384)).astype(np.float32)))
    found.append(("soft noise", ndimage.gaussian_filter(rng.standard_normal((384, 384)), 5).astype(np.float32)))
    return [
        View("negatives", name, image, np.zeros(image.shape, np.float32), np.ones(image.shape, bool), "no cells", 0)
        for name, image in found
    ]


def others() -> list[View]:
    """Worms (SYTOX) and an embryo: stained, but of nothing that was trained on."""
    found = []
    for well in ("C01", "C20"):
        image = plane(f"cellprofiler_worms_bf_fluor/untangle_{well}_brightfield_w2.tif")
        truth = plane(f"cellprofiler_worms_bf_fluor/untangle_{well}_SYTOX_w1.tif")
        found += cut(View("worms", well, image, truth, np.ones(image.shape, bool)), 384, 2)
    name = "neubias_cc-by/xyc_16bit__embryo_transmission_fluorescence.tif"
    image, truth = plane(name, 0), plane(name, 1)
    return [*found, View("embryo", "field", image, truth, np.ones(image.shape, bool))]


DRAWN = ("bbbc013", "cellpainting", "fucci", "isl", "neubias", "piximi")
"""Stains that transmitted light is drawn through: none that the models saw drawn light of."""


def scaled(stain: np.ndarray) -> np.ndarray:
    """A stain from its 1 to its 99.9 % quantile."""
    low, high = np.percentile(np.asarray(stain, np.float64), (1, 99.9))
    return np.clip((np.asarray(stain, np.float64) - low) / (high - low + 1e-9), 0, 1)


def stains(laboratory: str) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Cytoplasm, nuclei and the diameter of a nucleus in px, of each field of a laboratory."""
    if laboratory == "bbbc013":
        folder = training_data() / "4_mil_hcs/bbbc013_sbs_plate"
        wells = [
            w for well in ("A-01", "A-07", "A-12", "E-04") for w in sorted(folder.glob(f"Channel1-*-{well}.tif"))[:1]
        ]
        return [
            (
                *tuple(
                    scaled(read_image(str(p)).plane(0, 0, 0)) for p in (w, w.with_name(w.name.replace("l1-", "l2-")))
                ),
                48,
            )
            for w in wells
        ]
    if laboratory == "isl":
        nuclei, *neurites = (plane(f"isl_conditionB_wellA4/{n}_confocal_maxproj.png") for n in ("DAPI", "MAP2", "NFH"))
        return [(scaled(sum(map(scaled, neurites)) + 0.5 * scaled(nuclei)), scaled(nuclei), 26)]
    if laboratory == "piximi":
        name = "piximi_neuron_dic_4fluor/8b_5c_rat_hippocampal_neuron.tif"
        return [(scaled(scaled(plane(name, 0)) + scaled(plane(name, 2))), scaled(plane(name, 3)), 40)]
    if laboratory == "cellpainting":
        folder = training_data() / FIRST / "cellpainting_bf_5stains"
        first = next(p for p in sorted(folder.glob("ch*.tif")) if "bright" not in p.name and "DNA" not in p.name)
        nuclei = plane("cellpainting_bf_5stains/ch5_DNA_hoechst33342.tif")
        return [(scaled(read_image(str(first)).plane(0, 0, 0)), scaled(nuclei), 40)]
    if laboratory == "neubias":
        name = "neubias_cc-by/xyc_16bit__cell_dna_mts_actin.tif"
        return [(scaled(plane(name, 2)), scaled(plane(name, 0)), 100)]
    folder = training_data() / "5_spheroid_3d/fucci_draq7_spheroid_sections"
    images = [read_image(str(p), fallback_axes="CYX") for p in sorted(folder.glob("*.tif"))[:3]]
    return [(scaled(scaled(i.plane(0, 1, 0)) + scaled(i.plane(0, 2, 0))), scaled(i.plane(0, 0, 0)), 20) for i in images]


def drawn(laboratory: str, count: int = 8) -> list[View]:
    """Views of light drawn through stains at random optics, each as it is and under two corruptions."""
    rng, found = np.random.default_rng(zlib.crc32(laboratory.encode())), []
    fields = stains(laboratory)
    for number in range(count):
        cytoplasm, nuclei, size = fields[number % len(fields)]
        wanted = 26 * float(np.exp(rng.uniform(-0.35, 0.35)))
        factor = wanted / size
        smooth = max(0, (1 / factor - 1) / 2)
        cytoplasm, nuclei = (
            ndimage.zoom(ndimage.gaussian_filter(a, smooth), factor, order=1) for a in (cytoplasm, nuclei)
        )
        light = draw_light(cytoplasm, nuclei, wanted, rng)
        view = View(
            laboratory, f"drawn {laboratory} {number}", light, nuclei.astype(np.float32), np.ones(nuclei.shape, bool)
        )
        side = int(rng.choice([256, 384]))
        window = lively_window(view.truth, min(side, light.shape[0]), min(side, light.shape[1]), rng)
        if window is None:
            continue
        view = replace(view, image=light[window], truth=view.truth[window], weight=view.weight[window])
        every = list(worse(view, number))
        found += [every[k] for k in (0, *rng.choice(np.arange(1, len(every)), 2, replace=False))]
    return found


def lively_window(truth: np.ndarray, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice] | None:
    """A place that holds nuclei, of twenty drawn at random; None where none does."""
    for _ in range(20):
        y, x = int(rng.integers(0, truth.shape[0] - height + 1)), int(rng.integers(0, truth.shape[1] - width + 1))
        window = (slice(y, y + height), slice(x, x + width))
        if (truth[window] > 0.4).sum() > 150:
            return window
    return None
