"""Noise2Void against scikit-image's non-local means and wavelets: PSNR with noise added; does it help a noisy stain?

``n2v`` takes a crop of each stain of the five-stain field for clean, adds Gaussian and Poisson noise, and denoises it by
each method with the settings it comes with. Then the embryo, in transmitted light and a fluorescence of hardly more than
noise: the same small network is trained on the columns of its left side with the stain as it is and denoised, and both
are read against the stain as it is on the right.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_nl_means, denoise_wavelet, estimate_sigma
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.denoising import DenoiseParams
from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.ops.intensity.noise import measure_noise
from vitascope.recipes.recipe import find_data, parse_recipe, read_recipe
from vitascope.training.data.stain import Corpus
from vitascope.training.loop.loop import train
from vitascope.training.noise2void import denoise_picture
from vitascope.training.samplers.crops import Area, Pair
from vitascope.training.tasks.stain import StainJob, torch_predict

STAINS = {"er": "ch2_ER_concanavalinA488.tif", "agp": "ch3_AGP_actin_golgi_membrane568.tif"}
ROWS, COLUMNS = slice(440, 696), slice(440, 824)
SIGMA = 0.05
PHOTONS = 30.0
STEPS = 500


def clean_crop(path: Path) -> np.ndarray:
    values = tifffile.imread(path).astype(float)
    low, high = np.percentile(values, (1, 99.9))
    return np.clip((values - low) / (high - low), 0, 1)[ROWS, COLUMNS]


def spoiled(clean: np.ndarray, kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "Gaussian":
        return clean + rng.normal(0, SIGMA, clean.shape)
    return rng.poisson((clean + 0.05) * PHOTONS) / PHOTONS - 0.05


def by_means(noisy: np.ndarray) -> np.ndarray:
    sigma = float(estimate_sigma(noisy))
    return denoise_nl_means(noisy, h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=6, fast_mode=True)


METHODS = {
    "nothing": lambda noisy: noisy,
    "non-local means": by_means,
    "wavelets": lambda noisy: denoise_wavelet(noisy, rescale_sigma=True),
    "noise2void": lambda noisy: run_to_end(denoise_picture(noisy, DenoiseParams(steps=STEPS), "cpu")).picture,
}


EMBRYO = Path("1_insilico_labelling/neubias_cc-by/xyc_16bit__embryo_transmission_fluorescence.tif")
TRAINED, READ = slice(0, 200), slice(224, 341)
"""Columns; the network sees 96 px, so the light of trained columns reaches some of those that are read."""


def embryo(root: Path) -> None:
    """Print whether a denoised target is learnt better than the noisy one."""
    light, stain = tifffile.imread(root / EMBRYO).astype(np.float32)
    noise = measure_noise(stain)
    print(
        f"embryo: noise sigma {noise.sigma:.2f} of {np.ptp(stain):.0f} grey values, neighbours {noise.correlation:.2f}"
    )
    how = DenoiseParams(steps=STEPS, despite_correlation=True)
    clean = run_to_end(denoise_picture(stain, how, "cpu")).picture
    smooth = [gaussian_filter(stain[:, READ], sigma) for sigma in (0, 2)]
    for name, target in (("as it is", stain), ("denoised", clean)):
        for seed in (0, 1):
            predicted = learn(light, target, seed)[:, READ]
            found = [float(np.corrcoef(predicted.ravel(), truth.ravel())[0, 1]) for truth in smooth]
            print(
                f"  trained on the stain {name}, seed {seed}: PCC {found[0]:.3f}, with it smoothed by 2 px {found[1]:.3f}"
            )


def learn(light: np.ndarray, stain: np.ndarray, seed: int) -> np.ndarray:
    """Train a small network on the left columns; return what it makes of all."""
    image = ((light - light.mean()) / light.std()).astype(np.float32)[None]
    low, high = np.percentile(stain[:, TRAINED], (1, 99.9))
    target = np.clip((stain - low) / (high - low), 0, 1).astype(np.float32)[None]
    pair = Pair(image, target, np.ones_like(target), (Area(0, len(light), TRAINED.start, TRAINED.stop),))
    tree = read_recipe(RECIPES / "organelles-brightfield-twin.yaml").model_dump(mode="json")
    tree["targets"], tree["crop_px"] = tree["targets"][:1], 96
    tree["network"]["arguments"] |= {"out_channels": 1, "width": 0.5}
    recipe = parse_recipe(tree, "embryo")
    network = build_network(recipe.network)
    initialise(network, torch.Generator().manual_seed(seed))
    corpus = Corpus([pair], [], [], [(float(low), float(high))], ["embryo"], "columns of one picture")
    steps = {"epochs": 1, "steps_per_epoch": 150, "warmup_steps": 20, "seed": seed}
    how = TrainingParams(**{**recipe.training.model_dump(), **steps})
    trained = run_to_end(train(StainJob(recipe, corpus, network), how, precision="bf16"))
    return torch_predict(trained.network, image)[0]


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "organelles-brightfield.yaml")
    try:
        folder = find_data(recipe.data[0], RECIPES)
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    embryo(folder.parents[1])
    for name, file in STAINS.items():
        raw = measure_noise(tifffile.imread(folder / file))
        print(f"{name}: noise of the file itself, sigma {raw.sigma:.1f} grey values, neighbours {raw.correlation:.2f}")
        clean = clean_crop(folder / file)
        for kind in ("Gaussian", "Poisson"):
            noisy = spoiled(clean, kind)
            for method, denoised in METHODS.items():
                begun = time.process_time()
                psnr = peak_signal_noise_ratio(clean, np.clip(denoised(noisy), 0, 1), data_range=1)
                print(f"  {name:4} {kind:9} {method:16} PSNR {psnr:.2f} dB, {time.process_time() - begun:.1f} s")
