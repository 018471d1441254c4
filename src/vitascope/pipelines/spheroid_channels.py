"""Which channels of a stack are the live and the dead dye, and what is left where there is no dead one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitascope.core.card import InputSpec
from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph
from vitascope.engine.select_planes import find_channel, find_channels


def find_dyes(image: Micrograph, channels: Sequence[str] | None, spec: InputSpec) -> tuple[int, ...]:
    """Return the channels that a model takes, in its order; of a model of both dyes the live one alone is enough.

    Parameters
    ----------
    image : Micrograph
    channels : sequence of str or None
        Names or numbers; the live dye alone may be named.
    spec : InputSpec

    Raises
    ------
    InputError
        If neither the caller nor the names tell which is which.
    """
    one = image.sizes["C"] == 1 if channels is None else len(channels) == 1
    if not one or len(spec.channels) != 2:
        return find_channels(image, channels, spec)
    if channels is not None:
        return (find_channel(image, channels[0], ""),)
    live, dead = spec.channels
    name = image.channel_names[0] if image.channel_names else ""
    if name.lower() in {n.lower() for n in (live, *spec.also_called.get(live, ()))}:
        return (0,)
    named = f"is named '{name}'" if name else "has no name"
    raise InputError(
        f"The model takes 2 channels ({live}, {dead}); the image has 1, which {named}.",
        f"Give both. Where it is the {live} dye and there is no other, name it: --set 'channels=[0]'.",
        flag="wrong_channels",
        dock=f"Select the layers of both dyes and take them as channels, or say that the only dye is {live}.",
    )


NUCLEAR = ("hoechst", "dapi", "h2b", "histone", "syto", "draq5", "nls", "nucblue", "nuclei", "nuclear")
CELL_BODIES = ("calcein", "cmfda", "celltracker", "cell tracker", "fda", "fluorescein diacetate", "cytoplasm")


def what_live_voxels_are(name: str, said: str = "auto") -> str:
    """Return what the live dye stains: ``nuclei``, ``cell bodies``, or ``not told``.

    Parameters
    ----------
    name : str
        Of the channel, such as ``Hoechst 33342``.
    said : {"auto", "nuclei", "cell bodies"}
        ``auto`` goes by the name.

    Examples
    --------
    >>> what_live_voxels_are("Calcein-AM"), what_live_voxels_are("Hoechst 33342"), what_live_voxels_are("green")
    ('cell bodies', 'nuclei', 'not told')
    """
    if said != "auto":
        return said
    word = name.lower()
    found = ((NUCLEAR, "nuclei"), (CELL_BODIES, "cell bodies"))
    return next((kind for names, kind in found if any(one in word for one in names)), "not told")


def without_dye(like: Any) -> Any:
    """Return a channel without light, of the shape of another; it takes no memory."""
    return np.broadcast_to(np.uint8(0), tuple(int(n) for n in like.shape))
