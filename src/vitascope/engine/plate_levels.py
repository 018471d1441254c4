"""One normalisation for all images of a plate: found before the run, recorded with it, the same for each image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vitascope.core.card import InputSpec, ModelCard, Normalisation
from vitascope.core.errors import InputError, ParameterError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import ProgressGenerator
from vitascope.engine.preprocess import LinearMap, fit_normalisation, stack_lazily
from vitascope.engine.select_planes import choose_planes, graph_channels
from vitascope.ops.intensity.histogram import Histogram
from vitascope.ops.intensity.pooled import pool_values

STAGE = "Grey levels of the plate"
HINT = (
    "Run the plate, which finds them, or give them as its provenance tells (--set plate_levels=ZERO:UNIT, one for each "
    "channel)."
)


@dataclass(frozen=True)
class Level:
    """Which grey values of a channel become what.

    Parameters
    ----------
    zero, unit : float
        Grey value that becomes 0, and how many grey values make 1.
    lowest, highest : float or None
        Grey values beyond which pixels are cut off first; None where nothing is cut.
    """

    zero: float
    unit: float
    lowest: float | None = None
    highest: float | None = None

    def mapped(self, histogram: Histogram, how: Normalisation) -> LinearMap:
        """Return the map of an image's pixels; those that are not finite become the image's median."""
        clip = how.clip
        if self.lowest is not None and self.highest is not None:
            clip = ((self.lowest - self.zero) / self.unit, (self.highest - self.zero) / self.unit)
        return LinearMap(self.zero, 1.0 / self.unit, histogram.percentiles(50)[0], clip)

    def __str__(self) -> str:
        """Write it as it is read again, every digit of it."""
        ends = () if self.lowest is None or self.highest is None else (self.lowest, self.highest)
        return ":".join(repr(float(v)) for v in (self.zero, self.unit, *ends))


def read_levels(text: str, channels: Sequence[str]) -> tuple[Level, ...]:
    """Read levels: ``ZERO:UNIT`` or ``ZERO:UNIT:LOWEST:HIGHEST`` of each channel, by commas.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> read_levels("412:1033.5", ["bright-field"])[0].unit
    1033.5
    """
    found = []
    for part in text.split(","):
        try:
            values = [float(v) for v in part.split(":")]
        except ValueError:
            values = []
        sound = len(values) in (2, 4) and all(math.isfinite(v) for v in values) and values[1] > 0
        if not sound or (len(values) == 4 and values[2] >= values[3]):
            raise ParameterError(
                f"'{part.strip()}' are no grey levels.", "Give ZERO:UNIT of each channel, such as 412:1033.5."
            )
        found.append(Level(*values))
    if len(found) != len(channels):
        raise ParameterError(
            f"Grey levels of {len(found)} channel(s) are given; the model takes {', '.join(channels)}.",
            "Give ZERO:UNIT of each, in this order, by commas.",
        )
    return tuple(found)


def is_by_plate(card: ModelCard) -> bool:
    """Tell whether a model's images are normalised by the plate they come from."""
    return card.graph is not None and card.input.normalisation.per == "plate"


def levels_of_run(card: ModelCard, given: str | None, name: str) -> tuple[Level, ...] | None:
    """Return the levels that an image is prepared by; None where the model takes none.

    Raises
    ------
    ParameterError
        If they are wanted and not given, given and not wanted, or cannot be read.
    """
    if not is_by_plate(card):
        if given is not None:
            raise ParameterError(
                f"The model '{card.id}' is not normalised by plate, but grey levels are given ({given}).",
                "Leave them empty (plate_levels).",
            )
        return None
    if given is None:
        raise ParameterError(
            f"The model '{card.id}' is normalised by plate: '{name}' alone does not tell the plate's grey levels.", HINT
        )
    return read_levels(given, card.input.channels)


def find_levels(
    card: ModelCard,
    images: Sequence[tuple[str, Callable[[], Micrograph]]],
    channel: str | None = None,
    planes: Sequence[int] | None = None,
) -> ProgressGenerator[str | None]:
    """Find the grey levels of images that belong together, counting every pixel of each channel.

    Parameters
    ----------
    card : ModelCard
        Normalised by plate.
    images : sequence of (str, callable)
        Names, and what opens them. One that cannot be read, or has not the channels, is left out: its own run says so.
    channel : str, optional
        As the run's parameter.
    planes : sequence of int, optional
        As the run's parameter.

    Yields
    ------
    Progress
        One for each image.

    Returns
    -------
    str or None
        As :func:`read_levels` takes them; None where no image could be read.

    Raises
    ------
    InputError
        If all pixels of a channel are alike.
    """
    opened = [(name, _Planes(card.input, read, channel, planes)) for name, read in images]
    broken = (VitascopeError, OSError, ValueError, RuntimeError, MemoryError)
    pooled = yield from pool_values(opened, len(card.input.channels), broken, STAGE)
    if not pooled.images or not all(h.range.finite for h in pooled.histograms):
        return None
    return ",".join(
        str(_level(histogram, card.input.normalisation, name))
        for histogram, name in zip(pooled.histograms, card.input.channels, strict=True)
    )


def _level(histogram: Histogram, how: Normalisation, name: str) -> Level:
    if how.method == "dataset":
        raise ParameterError(
            "A normalisation by fixed numbers has nothing that a plate could share.", "Import it again without --per."
        )
    fitted = fit_normalisation(histogram, how)
    if not fitted.gain:
        raise InputError(f"All pixels of the plate are alike ('{name}').", "Check the images.", flag="constant")
    level = Level(fitted.offset, 1.0 / fitted.gain)
    if how.method == "zscore" and (how.low, how.high) != (0, 100):
        low, high = histogram.percentiles(how.low, how.high)
        level = Level(level.zero, level.unit, low, high)
    return level


class _Planes:
    """Opens an image and picks what the network is given of it, channel by channel."""

    def __init__(
        self, spec: InputSpec, read: Callable[[], Micrograph], channel: str | None, planes: Sequence[int] | None
    ) -> None:
        self._spec, self._read, self._channel, self._chosen = spec, read, channel, planes

    def __call__(self) -> list[Any]:
        image = self._read()
        channels, _ = graph_channels(image, self._spec, self._channel)
        count = image.sizes["Z"]
        chosen = range(count) if self._chosen is None else choose_planes(count, 1, self._chosen)[0]
        times = range(image.sizes["T"])
        return [stack_lazily([image.plane(t, c, z) for t in times for z in chosen]) for c in channels]
