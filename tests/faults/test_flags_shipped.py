"""The shipped models, run on images that were changed so that a flag is due: each word an image can raise is raised.

Each change is made to an image on which the flag is not raised, so that no flag is always there.
"""

from __future__ import annotations

from functools import cache

import dask.array as da
import numpy as np
import pytest
import tifffile
from scipy import ndimage

from spheroid_support import SPHEROID
from vitascope.batch.plate.image_quality import image_quality
from vitascope.core.errors import VitascopeError
from vitascope.core.flags import CURVE_FLAGS, FLAGS, FlagClass
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.io.images.read import read_image
from vitascope.io.models.cards import find_model, write_card
from vitascope.io.plates.read import open_plate
from vitascope.simulate.spheroid_series import make_spheroid, setting_of
from vitascope.simulate.spheroids import StackParams, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics
from vitascope.simulate.wells import make_well
from vitascope.tasks.registry import find_task

FAST = {"device": "cpu", "precision": "f32", "threads": 1}
NOT_OF_AN_IMAGE = {
    "device_fallback", "precision_raised", "tile_reduced",  # of the machine
    "error", "bad_parameter", "not_written", "model_refused", "memory", "worker_died", "training_stopped",
    "being_written",  # of an instrument
    "noise_shared",  # of the command that denoises
    "empty_chunks", "palette_ignored", "axes_unknown", "cancelled",  # of readers, and of runs: tested there
    "domain_unknown", "not_exact",  # of networks of other programs: tested there
}  # fmt: skip
"""Words that tell of something else than the grey values, axes and files of one image."""

RAISED: dict[str, object] = {}
"""The cases, by the flag that each is for."""


def case(flag):
    """Take note of a case: a function that returns flags without the change, and with it."""

    def keep(make):
        RAISED[flag] = make
        return make

    return keep


def flags_of(task, image, **params):
    """Run a task of the shipped models on an image; the flag of an error stands for a refusal."""
    spec = find_task(task)
    tiles = {"tile_px": 256} if task in ("stain", "phenotype") else {}
    wanted = {k: v for k, v in {**FAST, **tiles, **params}.items() if k in spec.params.model_fields}
    try:
        given = image() if callable(image) else image
        return set(run_to_end(spec.start({"image": given}, spec.make_params(**wanted))).flags)
    except VitascopeError as error:
        return {error.flag}


@cache
def phase():
    """A plane of neurons in phase contrast, 256 px: the part of the sample where fewest pixels are cut off."""
    return np.asarray(read_image([str(SAMPLES / "isl_phase.ome.tif")]).plane(z=3))[64:320, 256:].copy()


def stain(pixels, size=0.65, axes="YX", **params):
    how = {"model": "nuclei-phase", **params}
    return flags_of("stain", lambda: Micrograph.from_array(pixels, axes=axes, pixel_size_um=size), **how)


@cache
def plain():
    return stain(phase())


def written(tmp_path, pixels, **how):
    path = tmp_path / f"a{len(list(tmp_path.iterdir()))}.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, **how)
    return path


def read(path):
    return flags_of("stain", lambda: read_image([str(path)]), model="nuclei-phase")


# -- sizes and files --------------------------------------------------------------------------------------------------


@case("pixel_size_unknown")
def _(tmp_path):
    return plain(), stain(phase(), None)


@case("pixel_size_mismatch")
def _(tmp_path):
    return spheroid(2.0), spheroid(4.0, rescale=False)


@case("z_step_unknown")
def _(tmp_path):
    return spheroid(2.0), spheroid(2.0, step=None)


@case("unit_unknown")
def _(tmp_path):
    sizes = {"axes": "YX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}
    good, bad = ({**sizes, "PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit} for unit in ("µm", "reference frame"))
    return read(written(tmp_path, phase(), metadata=good)), read(written(tmp_path, phase(), metadata=bad))


@case("pixels_not_square")
def _(tmp_path):
    sizes = {"axes": "YX", "PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    good, bad = ({**sizes, "PhysicalSizeY": side} for side in (0.65, 1.3))
    return read(written(tmp_path, phase(), metadata=good)), read(written(tmp_path, phase(), metadata=bad))


@case("spare_bytes")
def _(tmp_path):
    path = written(tmp_path, phase())
    before = read(path)
    path.write_bytes(path.read_bytes() + b"left behind" * 9)
    return before, read(path)


@case("unreadable")
def _(tmp_path):
    path = written(tmp_path, phase())
    before = read(path)
    path.write_bytes(b"this is no picture")
    return before, read(path)


@case("incomplete")
def _(tmp_path):
    path = written(tmp_path, phase())
    before = read(path)
    path.write_bytes(path.read_bytes()[:-5000])
    return before, read(path)


@case("too_large")
def _(tmp_path):
    from vitascope.io.images.limits import check_declared

    def declared():
        check_declared("a.tif", (10**6, 10**6, 10**6), np.dtype(np.uint16), 1000)

    return plain(), flags_of("stain", declared)


@case("duplicate")
def _(tmp_path):
    paths = [str(tmp_path / f"B02_s1_z1_{channel}.tif") for channel in ("ch1", "ch01")]
    for path in paths:
        tifffile.imwrite(path, phase())
    return plain(), flags_of("stain", lambda: read_image(paths), model="nuclei-phase")


# -- grey values ------------------------------------------------------------------------------------------------------


@case("nan_masked")
def _(tmp_path):
    holes = phase().astype(np.float32)
    holes[:12] = np.nan
    return plain(), stain(holes)


@case("too_many_nan")
def _(tmp_path):
    holes = phase().astype(np.float32)
    holes[:80] = np.nan
    return plain(), stain(holes)


@case("no_finite_pixels")
def _(tmp_path):
    return plain(), stain(np.full((64, 64), np.inf, np.float32))


@case("constant")
def _(tmp_path):
    return plain(), stain(np.full((64, 64), 9, np.uint16))


@case("no_objects")
def _(tmp_path):
    return plain(), stain(np.full((64, 64), 9, np.uint16))


@case("saturated")
def _(tmp_path):
    return plain(), stain(np.minimum(phase(), np.percentile(phase(), 90).astype(phase().dtype)))


@case("saturated_clipped")
def _(tmp_path):
    """The cell-cycle model cuts off beyond eight standard deviations of its training images, whatever lies there."""
    cells = np.asarray(read_image([str(SAMPLES / "jurkat_brightfield.ome.tif")]).plane())[:132, :132].astype(np.uint16)
    spoilt = cells.copy()
    spoilt[:6] = 60000
    model = {"model": "cell-cycle-brightfield", "maps": False}
    channels = find_model("cell-cycle-brightfield")[0].input.channels
    found = []
    for pixels in (cells, spoilt):
        image = Micrograph.from_array(np.stack([pixels] * len(channels)), axes="CYX", channel_names=channels)
        found.append(flags_of("phenotype", image, **model))
    return found


@case("precision_lost")
def _(tmp_path):
    return plain(), stain(phase().astype(np.int64) * 2**45)


@case("low_contrast")
def _(tmp_path):
    rng = np.random.default_rng(0)
    dust = rng.normal(0, 1, (256, 256))
    dust[rng.integers(0, 256, 400), rng.integers(0, 256, 400)] += rng.choice([-400, 400], 400)
    return plain(), stain((dust + 2000).astype(np.float32))


@case("out_of_focus")
def _(tmp_path):
    return plain(), stain(ndimage.gaussian_filter(phase().astype(np.float32), 5))


@case("inverted_contrast")
def _(tmp_path):
    whole = np.asarray(read_image([str(SAMPLES / "isl_phase.ome.tif")]).plane(z=3)).astype(np.int32)
    turned = (whole.max() + whole.min() - whole).astype(np.uint16)
    return stain(whole.astype(np.uint16), invert="no"), stain(turned, invert="no")


@case("unsure")
def _(tmp_path):
    image = read_image([str(SAMPLES / "isl_phase.ome.tif")])
    stack = np.stack([np.asarray(image.plane(z=z))[:256, :256] for z in range(7)]).astype(np.float32)
    how = {"axes": "ZYX", "model": "nuclei-phase-stack"}
    return stain(stack, **how), stain(ndimage.gaussian_filter(stack, (0, 5, 5)), **how)


@cache
def checks():
    """A chessboard: nothing that a model of nuclei can be right on."""
    board = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((16, 16))) * 3000
    return stain((board + np.random.default_rng(0).normal(0, 1, board.shape)).astype(np.float32))


@case("outside_model")
def _(tmp_path):
    return plain(), checks()


@case("withheld")
def _(tmp_path):
    return plain(), checks()


@case("interval_unknown")
def _(tmp_path):
    return plain(), checks()


@case("trained_on_this")
def _(tmp_path):
    from vitascope.ops.intensity.fingerprint import fingerprint

    card, weights = find_model("nuclei-phase")
    (tmp_path / "models").mkdir()
    own = {"file": "nuclei-again.safetensors"}
    known = card.model_copy(
        update={
            "id": "nuclei-again",
            "weights": card.weights.model_copy(update=own),
            "trained_on": (fingerprint(phase()),),
            "training": {**card.training, "image_sha256": [], "looks": []},  # by which its own field is known
        }
    )
    (tmp_path / "models" / own["file"]).write_bytes(weights.read_bytes())
    path = write_card(known, tmp_path / "models")
    return stain(phase() + 1, model=str(path)), stain(phase().astype(np.float32), model=str(path))


# -- dimensions and channels ------------------------------------------------------------------------------------------


@case("planes_missing")
def _(tmp_path):
    stack = np.stack([phase()] * 7)
    how = {"axes": "ZYX", "model": "nuclei-phase-stack"}
    return stain(stack, **how), stain(stack, planes=(0, 0, 1, 2, 3, 4, 5), **how)


@case("wrong_planes")
def _(tmp_path):
    return plain(), stain(np.stack([phase()] * 3), axes="ZYX", model="nuclei-phase-stack")


@case("wrong_channels")
def _(tmp_path):
    return plain(), stain(np.stack([phase()] * 2), axes="CYX")


@case("wrong_dimensions")
def _(tmp_path):
    return plain(), stain(phase()[0], axes="X")


@case("empty_image")
def _(tmp_path):
    return plain(), stain(phase()[:0])


@case("wrong_dtype")
def _(tmp_path):
    return plain(), stain(phase().astype(complex))


@case("colour_image")
def _(tmp_path):
    return plain(), stain(np.stack([phase(), phase() // 2, phase() // 3], -1), axes="YXS")


def translocation():
    return read_image([str(SAMPLES / "bbbc013_positive.ome.tif")])


@case("smaller_than_cell")
def _(tmp_path):
    small = translocation().array[..., :12, :12]
    whole = translocation().array[..., :128, :128]
    how = {"axes": "CYX", "channel_names": translocation().channel_names}
    model = {"model": "translocation-bbbc013", "maps": False}
    return [flags_of("phenotype", Micrograph.from_array(np.asarray(one), **how), **model) for one in (whole, small)]


@case("fewer_channels_used")
def _(tmp_path):
    image = translocation()
    two = np.asarray(image.array)[..., :128, :128]
    names = image.channel_names
    model = {"model": "translocation-bbbc013", "maps": False}
    found = []
    for pixels, known in ((two, names), (np.concatenate([two, two[:1]]), (*names, "actin"))):
        found.append(flags_of("phenotype", Micrograph.from_array(pixels, axes="CYX", channel_names=known), **model))
    return found


@case("unfit_input")
def _(tmp_path):
    """Light is measured against a ground, and there is none above 0."""
    good = make_spheroid(0, setting_of(0, 0), 128).image
    shown = [Micrograph.from_array(p, axes="YX") for p in (good, good.astype(np.int32) - int(np.median(good)) - 9)]
    return [flags_of("viability", image, model="viability-spheroid-sim", maps=False) for image in shown]


@case("interval_simulated")
def _(tmp_path):
    shown = Micrograph.from_array(make_spheroid(0, setting_of(0, 0), 128).image, axes="YX")
    return [flags_of("viability", shown, model=f"viability-{name}", maps=False) for name in ("ldc", "spheroid-sim")]


def spheroid(size, step=4.0, dyes=2, **params):
    names = ("calcein", "PI")[:dyes]
    image = Micrograph.from_array(
        SPHEROID.image[:dyes], axes="CZYX", channel_names=names, pixel_size_um=size, z_step_um=step
    )
    return flags_of("spheroid", image, **params)


@case("dead_channel_missing")
def _(tmp_path):
    return spheroid(2.0), spheroid(2.0, dyes=1)


@case("live_dye_leak")
def _(tmp_path):
    """A drug that kills every cell: what is left in calcein is leak."""
    found = []
    for dose in (1.0, 1000.0):
        stack = simulate_spheroid(StackParams(diameter_um=120, dose=dose), (4.0, 2.0, 2.0), VolumeOptics(), 1).image
        image = Micrograph.from_array(
            stack, axes="CZYX", channel_names=("calcein", "PI"), pixel_size_um=2.0, z_step_um=4.0
        )
        found.append(flags_of("spheroid", image))
    return found


def ground_with(*things):
    """A stack of faint noise with bright bodies in both dyes' places: (dye, z, y, x) slices."""
    image = np.random.default_rng(0).normal(200, 5, (2, 24, 96, 96))
    for dye, *where in things:
        image[(dye, *where)] = 3000
    image = ndimage.gaussian_filter(image, (0, 0.5, 1, 1))
    return Micrograph.from_array(
        image.astype(np.uint16), axes="CZYX", channel_names=("calcein", "PI"), pixel_size_um=2.0, z_step_um=4.0
    )


BODY = (0, slice(4, 20), slice(8, 46), slice(8, 46))
DEAD_BODY = (1, slice(4, 20), slice(46, 56), slice(8, 46))
SPECKS = [
    (0, slice(6, 12), slice(y, y + 9), slice(x, x + 9)) for y in range(4, 90, 22) for x in (64, 82)
]  # fmt: skip


@case("small_left_out")
def _(tmp_path):
    whole, pieces = (flags_of("spheroid", ground_with(*b)) for b in ((BODY, DEAD_BODY), (BODY, DEAD_BODY, *SPECKS)))
    return whole, pieces


@case("bound_lowered")
def _(tmp_path):
    image = ground_with(BODY, DEAD_BODY)
    return flags_of("spheroid", image), flags_of("spheroid", image, least_diameter_um=1000.0)


@case("otsu_disagrees")
def _(tmp_path):
    """A speck of dirt far brighter than any cell takes the plain threshold above all of them."""
    dirty = SPHEROID.image.copy()
    dirty[:, 8:12, 2:6, 2:6] = 60 * dirty.max()
    how = {"axes": "CZYX", "channel_names": ("calcein", "PI"), "pixel_size_um": 2.0, "z_step_um": 4.0}
    return [flags_of("spheroid", Micrograph.from_array(one, **how)) for one in (SPHEROID.image, dirty)]


# -- wells ------------------------------------------------------------------------------------------------------------


def well(pixels, **params):
    return flags_of("atp", Micrograph.from_array(pixels, axes="YX"), maps=False, **params)


@cache
def good_well():
    return make_well(1, 3, 0, 256).image


@case("empty_well")
def _(tmp_path):
    ground = np.random.default_rng(0).normal(4000, 20, (256, 256)).astype(np.uint16)
    return well(good_well()), well(ground)


@case("shading")
def _(tmp_path):
    even = good_well()
    return well(even), well(shaded(even), flat_field=False)


def shaded(picture):
    return (picture * np.linspace(0.75, 1.25, picture.shape[0])[:, None]).astype(np.uint16)


@case("flat_fielded")
def _(tmp_path):
    return well(good_well()), well(shaded(good_well()))


@case("meniscus")
def _(tmp_path):
    """Light that falls off towards the rim."""
    y, x = (np.linspace(-1, 1, n) for n in good_well().shape)
    bowl = 1 - 0.25 * (y[:, None] ** 2 + x[None] ** 2)
    return well(good_well()), well((good_well() * bowl).astype(np.uint16), flat_field=False)


@case("bubbles")
def _(tmp_path):
    """A black ring around a bright middle, a sixth of the well wide."""
    y, x = np.mgrid[:256, :256]
    away = np.hypot(y - 110, x - 140) / 22
    ground = np.percentile(good_well(), 70)
    ring = np.where(away < 0.7, ground, 0.15 * ground)
    return well(good_well()), well(np.where(away < 1, ring, good_well()).astype(np.uint16))


@case("oversharp")
def _(tmp_path):
    good = make_spheroid(0, setting_of(0, 0), 256).image
    noisy = (good + np.random.default_rng(0).normal(0, 0.3 * good.mean(), good.shape)).clip(0, 65535)
    shown = [Micrograph.from_array(p.astype(np.uint16), axes="YX") for p in (good, noisy)]
    return [flags_of("viability", image, model="viability-spheroid-sim", maps=False) for image in shown]


@case("attention_on_background")
def _(tmp_path):
    """Organoids so pale that they are not told from ground: the number rests on nothing that is seen."""
    dark = good_well()
    middle = np.median(dark)
    return well(dark), well((middle + (dark - middle) * 0.15).astype(np.uint16))


@case("no_well")
def _(tmp_path):
    ground = np.random.default_rng(0).normal(4000, 20, (256, 256)).astype(np.uint16)
    return well(good_well()), well(ground)


@case("well_cut_off")
def _(tmp_path):
    framed = ringed(256, [(128, 128)])
    return well(framed), well(framed[:, 70:])


@case("several_wells")
def _(tmp_path):
    return well(ringed(256, [(128, 128)])), well(np.concatenate([ringed(256, [(128, 128)])] * 2, 1))


def ringed(side, centres):
    """Bright wells on dark plastic, with something to see in them."""
    y, x = np.mgrid[:side, :side]
    picture = np.random.default_rng(1).normal(600, 15, (side, side))
    for cy, cx in centres:
        inside = np.maximum(abs(y - cy), abs(x - cx)) < 0.38 * side
        picture[inside] += 3000
        for k in range(12):
            place = (cy + 0.25 * side * np.sin(k), cx + 0.22 * side * np.cos(2 * k))
            picture[(y - place[0]) ** 2 + (x - place[1]) ** 2 < 60] -= 1500
    return picture.clip(0, 65535).astype(np.uint16)


def quality(tmp_path, change):
    pixels = {f"{row}0{column}": phase() for row in "ABC" for column in range(1, 9)}
    rng = np.random.default_rng(0)
    folder = tmp_path / f"plate{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    for name, one in pixels.items():
        shown = np.roll(one, rng.integers(0, 200, 2), (0, 1)) + rng.normal(0, 3, one.shape)
        tifffile.imwrite(folder / f"{name}_s1.tif", change(name, shown).clip(0, 65535).astype(np.uint16))
    table = run_to_end(image_quality(open_plate(folder)))
    return {flag for cell in table["flags"] for flag in cell.split(";")}


@case("focus_outlier")
def _(tmp_path):
    return quality(tmp_path, lambda _, p: p), quality(
        tmp_path, lambda well, p: ndimage.gaussian_filter(p, 6) if well == "B04" else p
    )


@case("contrast_outlier")
def _(tmp_path):
    return quality(tmp_path, lambda _, p: p), quality(
        tmp_path, lambda well, p: p.mean() + (p - p.mean()) / 60 if well == "B04" else p
    )


@pytest.mark.parametrize("flag", list(RAISED))
def test_the_flag_is_raised_by_the_change_and_not_without_it(flag, tmp_path):
    before, after = RAISED[flag](tmp_path)
    assert flag in after
    assert flag not in before


def test_each_flag_of_an_image_has_a_case():
    assert set(FLAGS) - NOT_OF_AN_IMAGE - set(CURVE_FLAGS) == set(RAISED)
    assert all(FLAGS[flag].kind is not FlagClass.NOTE for flag in ("saturated", "inverted_contrast", "trained_on_this"))


def test_notes_leave_the_status_ok_with_a_shipped_model():
    spec = find_task("stain")
    mirrored = phase()[:, ::-1]  # a piece of the training field, which is known again as it is
    image = Micrograph.from_array(da.from_array(mirrored, chunks=128), axes="YX")
    params = spec.make_params(model="nuclei-phase", tile_px=256, **FAST)
    result = run_to_end(spec.start({"image": image}, params))
    assert (result.flags, str(result.status)) == (("pixel_size_unknown",), "OK")
