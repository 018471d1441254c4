"""``vitascope denoise``: noise taken off images."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli import options
from vitascope.cli.console import group_images, plain_errors, with_progress_bar
from vitascope.cli.run import check_axes_given, check_pixel_size
from vitascope.core.exit_codes import PARTIAL
from vitascope.core.flags import without_notes
from vitascope.core.status import NOT_DONE


def denoise(
    images: options.Images,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")],
    steps: Annotated[int, typer.Option(help="How long to learn from each picture.")] = 500,
    seed: Annotated[int, typer.Option(help="Start of all random numbers; the same gives the same picture.")] = 0,
    despite_correlation: Annotated[
        bool, typer.Option("--despite-correlation", help="Denoise although neighbouring pixels share their noise.")
    ] = False,
    pattern: options.Pattern = None,
    pixel_size_um: options.PixelSize = None,
    axes: options.Axes = None,
    device: options.Device = "auto",
) -> None:
    """Take the noise off images by Noise2Void: each is learnt from itself alone, no clean image is needed.

    The noise is measured first; where neighbouring pixels share it, the image is refused.
    """
    with plain_errors():
        check_pixel_size(pixel_size_um)
        check_axes_given(axes)
        from vitascope.batch.denoise import DenoiseJob, denoise_images
        from vitascope.core.denoising import DenoiseParams

        params = DenoiseParams.make(steps=steps, seed=seed, despite_correlation=despite_correlation)
        groups = group_images(images, pattern)
        job = DenoiseJob(
            groups=groups,
            params=params,
            out=out,
            device=device,
            pixel_size_um=pixel_size_um,
            axes=axes,
            command=shlex.join(["vitascope", *sys.argv[1:]]),
        )
        results = with_progress_bar(denoise_images(job))
        for result in results:
            row = result.rows[0] if result.rows else {}
            told = f"noise {row['noise_sigma']:.4g}, of neighbours {row['noise_correlation']:.2f}" if row else ""
            flags = ", ".join(flag.replace("_", " ") for flag in without_notes(result.flags))
            words = "  ".join(filter(None, [result.name, str(result.status), told, flags, result.message]))
            typer.echo(words)
        typer.echo(f"Results: {out}")
    if any(result.status in NOT_DONE for result in results):
        raise typer.Exit(PARTIAL)
