"""From a stack as it lies on disk to what a 3-D network reads: median, percentiles and z-score once, size by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.preprocess import LinearMap, check_histogram, fit_normalisation, saturation_flags
from vitascope.io.results.temporary_store import TemporaryStore
from vitascope.ops.geometry.resample import Reader, Window, read_reflected, resampled_reader
from vitascope.ops.intensity.histogram import count_values
from vitascope.ops.intensity.median import median_filter
from vitascope.ops.intensity.threshold import otsu_threshold
from vitascope.ops.tiling.chunks import chunk_slices, read_piece

Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class PreparedVolume:
    """One volume made ready for a network.

    Parameters
    ----------
    read : Reader
        Gives (C, d, h, w) float32 on the network's grid.
    shape : tuple of int
        (Z, Y, X) of the network's grid.
    source : tuple of int
        (Z, Y, X) of the image's own grid.
    maps : tuple of LinearMap
        One per channel.
    flags : tuple of str
    filtered : tuple of array, each (Z, Y, X)
        The channels after the median, in grey values, on the image's own grid.
    otsu : tuple of float
        Otsu's threshold of each of them; infinite where it is constant.
    finite : callable or None
        Gives a (d, h, w) mask of finite voxels of a window of the image's own grid; None where all are finite.
    """

    read: Reader
    shape: Shape3
    source: Shape3
    maps: tuple[LinearMap, ...]
    flags: tuple[str, ...]
    filtered: tuple[Any, ...]
    otsu: tuple[float, ...]
    finite: Callable[[Window], NDArray[np.bool_]] | None

    @property
    def levels(self) -> tuple[tuple[float, float], ...]:
        """Ground and Otsu's threshold of each channel in the unit of the network; the ground is where it is cut."""
        found = []
        for how, threshold in zip(self.maps, self.otsu, strict=True):
            above = (threshold - how.offset) * how.gain if np.isfinite(threshold) and how.gain else np.inf
            found.append((how.clip[0] if how.clip is not None else 0.0, float(above)))
        return tuple(found)


def prepare_volume(
    channels: Sequence[Any], spec: InputSpec, scale_zyx: tuple[float, float, float], scratch: TemporaryStore
) -> ProgressGenerator[PreparedVolume]:
    """Make one volume ready.

    Each channel is filtered by a median of 3 x 3 x 3 voxels, or of 3 x 3 in each plane where the card says so, into
    ``scratch``; its percentiles, mean and standard deviation are those of the whole filtered channel, counted once. The
    reader cuts, scales and resamples window by window.

    Parameters
    ----------
    channels : sequence of array, each (Z, Y, X), numpy or dask
        In the card's order. Never written to.
    spec : InputSpec
    scale_zyx : tuple of float, > 0
        Network voxels per image voxel.
    scratch : TemporaryStore
        Of this volume alone.

    Yields
    ------
    Progress

    Returns
    -------
    PreparedVolume

    Raises
    ------
    InputError
        If more than 10 % of the voxels of a channel are not finite.

    References
    ----------
    SIM-spheroid (seed 003), section 2.2.
    """
    flags: list[str] = []
    filtered, maps, otsu, masked = [], [], [], False
    for number, channel in enumerate(channels):
        raw = yield from count_values(channel)
        flags += check_histogram(raw)
        masked |= raw.range.not_finite_fraction > 0
        stored = scratch.zeros(f"median-{number}", tuple(channel.shape), _native(channel.dtype))
        yield from filter_median(channel, stored, raw.percentiles(50)[0], 3 if spec.median == "volume" else 1)
        values = yield from count_values(stored)
        maps.append(fit_normalisation(values, spec.normalisation))
        flags += saturation_flags(values, spec.normalisation, maps[-1])
        otsu.append(otsu_threshold(values))
        filtered.append(stored)
    source: Shape3 = tuple(int(n) for n in channels[0].shape)  # type: ignore[assignment]
    shape: Shape3 = tuple(max(1, round(n * s)) for n, s in zip(source, scale_zyx, strict=True))  # type: ignore[assignment]

    def fetch(window: Window) -> NDArray[np.float32]:
        return np.stack([m(np.asarray(f[window])) for m, f in zip(maps, filtered, strict=True)])

    def read(window: Window) -> NDArray[np.float32]:
        return read_reflected(fetch, source, window)

    def finite(window: Window) -> NDArray[np.bool_]:
        return np.asarray(np.all([np.isfinite(np.asarray(c[window])) for c in channels], axis=0))

    return PreparedVolume(
        read=resampled_reader(read, source, shape),
        shape=shape,
        source=source,
        maps=tuple(maps),
        flags=tuple(dict.fromkeys(flags)),
        filtered=tuple(filtered),
        otsu=tuple(otsu),
        finite=finite if masked else None,
    )


def filter_median(channel: Any, stored: Any, fill: float, planes: int = 3) -> ProgressGenerator[None]:
    """Filter a channel by a median of 3 x 3 x 3 or 3 x 3 voxels, piece by piece, into another array.

    Parameters
    ----------
    channel, stored : array, shape (Z, Y, X)
        The edges of the volume are continued by reflection (the edge voxel is not repeated).
    fill : float
        Stands for voxels that are not finite.
    planes : int, 3 or 1
        1 looks at each plane on its own.
    """
    shape = tuple(int(n) for n in channel.shape)
    pieces = chunk_slices(stored)

    def fetch(window: Window) -> NDArray[Any]:
        block = read_piece(channel, window)
        return np.where(np.isfinite(block), block, block.dtype.type(fill)) if block.dtype.kind == "f" else block

    for done, piece in enumerate(pieces):
        yield Progress(done, len(pieces), "Filtering noise")
        wide = tuple(slice(s.start - m, s.stop + m) for s, m in zip(piece, (planes // 2, 1, 1), strict=True))
        block = read_reflected(fetch, shape, wide)
        stored[piece] = median_filter(block, planes)
    yield Progress(len(pieces), len(pieces), "Filtering noise")


def _native(dtype: Any) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    return np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("=")
