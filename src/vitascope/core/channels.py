"""Which channel of an image shows transmitted light: one rule for the pipelines and for what a viewer offers."""

from __future__ import annotations

from collections.abc import Sequence

LABEL_FREE = ("phase", "bright", "bf", "dic", "trans", "label-free", "labelfree", "tl ", "tl_", "contrast")
"""Parts of the names that microscopes give to channels of transmitted light; a name ends with a space here."""


def is_label_free(channel_name: str) -> bool:
    """Tell whether a channel's name says that it shows transmitted light.

    Examples
    --------
    >>> [is_label_free(name) for name in ("Phase Contrast", "TL 10x", "BF", "tl", "DAPI", "")]
    [True, True, True, True, False, False]
    """
    return any(word in f"{channel_name.lower()} " for word in LABEL_FREE)


def label_free_channel(names: Sequence[str], wanted: str = "") -> int | None:
    """Return the channel to take where nobody named one; None where the names do not tell.

    Parameters
    ----------
    names : sequence of str
        Of the image's channels.
    wanted : str
        What the model calls its channel; a channel of this very name goes before all others.

    Examples
    --------
    >>> label_free_channel(("DAPI", "Brightfield"))
    1
    >>> label_free_channel(("Phase", "Brightfield")), label_free_channel(("Phase", "Brightfield"), "phase")
    (None, 0)
    """
    told = [i for i, name in enumerate(names) if wanted and name.lower() == wanted.lower()]
    told = told or [i for i, name in enumerate(names) if is_label_free(name)]
    return told[0] if len(told) == 1 else None
