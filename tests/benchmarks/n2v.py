"""Noise2Void against scikit-image's non-local means and wavelets: PSNR with noise added; does it help a noisy stain?

``n2v`` takes a crop of each stain of the five-stain field for clean, adds Gaussian and Poisson noise, and denoises it by
each method with the settings it comes with.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import tifffile
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_nl_means, denoise_wavelet, estimate_sigma
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.denoising import DenoiseParams
from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.ops.intensity.noise import measure_noise
from vitascope.recipes.recipe import find_data, read_recipe
from vitascope.training.noise2void import denoise_picture

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


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "organelles-brightfield.yaml")
    try:
        folder = find_data(recipe.data[0], RECIPES)
    except ReaderError as error:
        print(f"skipped: {error}")
        return
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
