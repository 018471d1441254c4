"""Noise taken off images, one after the other, each from itself alone."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.batch.item import ENDS_THE_RUN, Item, error_result
from vitascope.core.denoising import DenoiseParams
from vitascope.core.errors import ReaderError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.core.result import ImageOutput, Provenance, Result
from vitascope.core.status import Status
from vitascope.core.versions import versions
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.images.read import open_group
from vitascope.io.results.folder import ResultsFolder
from vitascope.io.results.images import Format, Sizes
from vitascope.io.results.provenance import describe_input, describe_run
from vitascope.ops.intensity.noise import FIXED_PATTERN
from vitascope.tasks.late_modules import load_denoising

METHOD = "noise2void"


@dataclass(frozen=True)
class DenoiseJob:
    """What is to be denoised; fields as of :class:`vitascope.batch.run_images.Job`."""

    groups: Sequence[ImageGroup]
    params: DenoiseParams
    out: Path
    device: str = "auto"
    pixel_size_um: float | None = None
    axes: str | None = None
    format: Format = "auto"
    command: str = ""


def denoise_images(job: DenoiseJob) -> ProgressGenerator[list[Result]]:
    """Take the noise off images, and write them to a folder.

    Yields
    ------
    Progress

    Returns
    -------
    list of Result
        One for each image; of one that failed its status and why, which never stops the others.

    Raises
    ------
    ReaderError
        If the only image cannot be read; nothing is written then.
    OutputError
        If the folder cannot be written; whatever was finished stays.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    folder = ResultsFolder(job.out, "denoise", job.format)
    results: list[Result] = []
    for number, group in enumerate(job.groups):
        sizes: Sizes = (None, None)
        try:
            image = open_group(group, pixel_size_um=job.pixel_size_um, axes=job.axes)
            sizes = (image.pixel_size_um, image.z_step_um)
            steps = denoise_image(image, job.params, job.device)
            result = yield from map_progress(steps, lambda at, n=number: _of_image(at, n, len(job.groups)))  # type: ignore[misc]
        except ENDS_THE_RUN:
            raise
        except Exception as error:
            if len(job.groups) == 1 and isinstance(error, ReaderError):
                raise
            result = error_result(Item(group.name, group.place, {}), error)
        folder.add(result, pixel_size_um=sizes[0], z_step_um=sizes[1])
        results.append(result)
    found = [result.provenance for result in results if result.provenance is not None]
    folder.close(describe_run(job.command, found, started.isoformat(timespec="seconds"), time.perf_counter() - clock))
    return results


def denoise_image(image: Micrograph, params: DenoiseParams, device: str = "auto") -> ProgressGenerator[Result]:
    """Take the noise off every plane of an image, each learnt from that plane alone.

    Parameters
    ----------
    image : Micrograph
    params : DenoiseParams
    device : str

    Yields
    ------
    Progress

    Returns
    -------
    Result
        ``denoised`` (float32, grey values of the input, its axes), and ``noise_sigma`` and ``noise_correlation``:
        those of the plane whose neighbours share the most.

    Raises
    ------
    InputError
        If a plane cannot be denoised.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    denoise = load_denoising().denoise_picture
    places = list(product(*(range(image.sizes[axis]) for axis in "TCZ")))
    out = np.zeros([image.sizes[a] for a in image.axes], np.float32)
    measured: list[tuple[float, float]] = []
    for number, (t, c, z) in enumerate(places):
        plane = np.asarray(image.plane(t, c, z))
        steps = denoise(plane, params, device)
        done = yield from map_progress(steps, lambda at, n=number: _of_image(at, n, len(places)))  # type: ignore[misc]
        where: dict[str, Any] = {"T": t, "C": c, "Z": z}
        out[tuple(where[a] for a in image.axes if a not in "YX")] = done.picture
        measured.append((done.noise, done.correlation))
    sigma, correlation = max(measured, key=lambda pair: abs(np.nan_to_num(pair[1])))
    flags = [*image.flags, *(("noise_shared",) if abs(np.nan_to_num(correlation)) > FIXED_PATTERN else ())]
    finite = out[np.isfinite(out)]
    provenance = Provenance(
        task="denoise",
        model=METHOD,
        model_sha256="",
        params=params.model_dump(),
        device=device,
        precision="auto",
        inputs=[describe_input("image", image)],
        versions=versions(),
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
        flags=flags,
    )
    names = image.channel_names or tuple(f"channel {k}" for k in range(image.sizes["C"]))
    output = ImageOutput(
        kind="denoised",
        title="denoised",
        array=out,
        axes=image.axes,
        channel_names=names if image.sizes["C"] > 1 else (*image.channel_names, "denoised")[:1],
        unit="grey values",
        limits=(float(finite.min()), float(max(finite.max(), finite.min() + 1e-6))),
        colormap="gray",
    )
    return Result(
        outputs=(output,),
        rows=({"noise_sigma": sigma, "noise_correlation": correlation},),
        unit="grey values",
        place=image.place,
        name=image.name,
        status=Status.of_flags(flags),
        flags=tuple(flags),
        provenance=provenance,
    )


def _of_image(at: Progress, number: int, count: int) -> Progress:
    of = f" ({number + 1} of {count})" if count > 1 else ""
    return Progress(at.done, at.total, f"{at.stage}{of}")
