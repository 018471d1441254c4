"""Make the drift references that lie beside the bundled models: ``python -m tests.benchmarks zoo_references [MODEL ...]``.

Each is made of images of the data that its model was trained on, as the recipe lists them, by the same functions as
``vitascope drift reference``. Where a model saw one field only, pieces of it stand for images: they are no independent
ones, and the reference is narrower than the microscope is. That of ``nuclei-any`` has as many pieces of each of its four
laboratories, drawn light left out: what differs no more than they do passes for trusted. Needs the folder of VITASCOPE_DATA.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from vitascope.batch.drift.run import make_reference
from vitascope.core.paths import BUNDLED_MODELS, training_data
from vitascope.core.progress import run_to_end
from vitascope.io.images.read import group_paths, read_image
from vitascope.recipes.recipe import read_recipe
from vitascope.training.data.simulated import draw, source_folders
from vitascope.training.data.spheroid import FIRST_SEED, part_of, read_stacks, simulated_stack

ISL, JURKAT = "1_insilico_labelling/isl_conditionB_wellA4", "1_insilico_labelling/mlcp_flow_bf_dna"
PIXIMI = "1_insilico_labelling/piximi_neuron_dic_4fluor/8b_5c_rat_hippocampal_neuron.tif"
SIDE, STEP, DRAWN, EACH = 192, 96, 200, 40
EACH_STACK, SPHEROIDS = 2, 12


class Sized(NamedTuple):
    """A stack (C, Z, Y, X) and its voxel (z, y, x) in µm."""

    image: np.ndarray
    voxel_um: tuple[float, float, float]


def planes(*names):
    found = [np.asarray(read_image(str(training_data() / name), fallback_axes="YX").plane()) for name in names]
    return np.stack(found) if len(found) > 1 else found[0]


def pieces(image, rows, step=STEP, side=SIDE):
    height, width = image.shape[-2:]
    for y in range(0, min(rows, height) - side + 1, step):
        for x in range(0, width - side + 1, step):
            yield image[..., y : y + side, x : x + side]


def phase(_):
    for z in (4, 6, 8):
        yield from pieces(planes(f"{ISL}/phase_z{z:02}.png"), 768, 128)


def phase_stack(_):
    yield from pieces(planes(*(f"{ISL}/phase_z{z:02}.png" for z in range(0, 13, 2))), 768)


def jurkat(_):
    for name, number in (("G1", 8), ("S_phase", 9), ("G2", 8), ("Prophase", 1)):
        yield from list(pieces(planes(f"{JURKAT}/{name}__brightfield__Ch3_CP000{number}.tif"), 10**6, 160))[:50]


def bright_field(_):
    yield from pieces(planes("1_insilico_labelling/cellpainting_bf_5stains/ch1_brightfield_high.tif"), 810)


def transmitted(recipe):
    """As many pieces of each laboratory, evenly of all there are: one that gives more would be what is usual."""
    dic = np.asarray(read_image(str(training_data() / PIXIMI), fallback_axes="CYX").plane(c=4))
    for laboratory in (phase(recipe), pieces(dic, 10**6, 32), jurkat(recipe), bright_field(recipe)):
        found = list(laboratory)
        for number in np.unique(np.linspace(0, len(found) - 1, EACH).round().astype(int)):
            yield found[number]


def control_wells(recipe):
    folder = training_data() / "4_mil_hcs/bbbc013_sbs_plate"
    for well in recipe.split.train_groups:
        found = [next(folder.glob(f"Channel{c}-*-{well[0]}-{well[1:]}.tif")) for c in (1, 2)]
        yield from pieces(np.stack([tifffile.imread(path) for path in found]), 640, 320, 320)


def chamber(_):
    for path in sorted((training_data() / "3_spheroid_viability/ldc_live_dead").glob("*.png")):
        yield np.asarray(read_image(str(path)).plane())


def stacks(recipe):
    """Composed stacks of real nuclei, at most two of each live one, and simulated spheroids of the training part."""
    folder = BUNDLED_MODELS / "recipes"
    seen = Counter()
    for stack in run_to_end(read_stacks(recipe, folder)):
        seen[stack.group] += 1
        if stack.kind == "composed" and part_of(recipe, stack.group) == "train" and seen[stack.group] <= EACH_STACK:
            yield Sized(np.stack(stack.channels).astype(np.float32), stack.voxel_zyx_um)
    for number in range(min(recipe.volumes.simulated[0], SPHEROIDS)):
        stack = simulated_stack(recipe, FIRST_SEED["train"] + number)
        yield Sized(np.stack(stack.channels).astype(np.float32), stack.voxel_zyx_um)


def simulated(recipe):
    drawn = [data for data in recipe.data if data.simulated.alive is None]  # not those redrawn dead or alive
    for data in drawn:
        folders = source_folders(data, BUNDLED_MODELS / "recipes")
        for number in np.linspace(0, data.simulated.count - 1, DRAWN // len(drawn)).astype(int):
            yield draw(data.simulated, int(number), folders).image


IMAGES = {
    "nuclei-phase": phase,
    "nuclei-any": transmitted,
    "nuclei-phase-stack": phase_stack,
    "neurites-phase-stack": phase_stack,
    "dna-brightfield": jurkat,
    "cell-cycle-brightfield": jurkat,
    "organelles-brightfield": bright_field,
    "translocation-bbbc013": control_wells,
    "viability-ldc": chamber,
    "atp-organoid": simulated,
    "atp-organoid-attention": simulated,
    "viability-spheroid-sim": simulated,
    "spheroid-live-dead": stacks,
}
NAMES = {"translocation-bbbc013": ["GFP", "DNA"], "spheroid-live-dead": ["live", "dead"]}
"""Channels of models with several."""


def make(model):
    recipe = read_recipe(BUNDLED_MODELS / "recipes" / f"{model}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(IMAGES[model](recipe)):
            about = {}
            if isinstance(image, Sized):
                image, (z, y, x) = image
                about = {f"PhysicalSize{a}": v for a, v in zip("ZYX", (z, y, x), strict=True)}
            axes = {2: "YX", 3: "CYX" if model in NAMES else "ZYX", 4: "CZYX"}[image.ndim]
            about |= {"axes": axes} | ({"Channel": {"Name": NAMES[model]}} if "C" in axes else {})
            tifffile.imwrite(Path(folder) / f"i{number:03}.ome.tif", image, ome=True, metadata=about)
        groups, _ = group_paths([folder])
        out = BUNDLED_MODELS / f"{model}.drift"
        made, failed, _ = run_to_end(make_reference(groups, model, model, out=out, register=False))
    print(f"{model}: {len(made.points)} images of {len(groups)}, {out.stat().st_size / 1000:.0f} kB. {made.accuracy()}")
    for name, sentence in failed[:3]:
        print(f"  {name} left out: {sentence}")


def main(arguments):
    for model in arguments or IMAGES:
        make(model)
        sys.stdout.flush()
