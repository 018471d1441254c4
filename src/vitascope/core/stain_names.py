"""What stains show, by the names that people give them, and which colours they have by convention."""

from __future__ import annotations

import re
from collections.abc import Sequence

STAINS = {
    "nuclei": ("nuclei", "nucleus", "dna", "dapi", "hoechst"),
    "er": ("er", "endoplasmic", "concanavalin"),
    "cell": ("agp", "cell", "gfp", "actin", "membrane", "phalloidin", "wga"),
    "mito": ("mito",),
    "rna": ("rna", "syto"),
}
"""Words that name a stain; those of four letters or more also begin longer ones, as in hoechst33342."""

SHORT = 3

COLOURS = {"red": "er", "green": "cell", "blue": "nuclei"}
"""Red ER, green cell, blue nuclei: Pankova 2022 (seed 004), sections 3.3.2 and 3.5.4."""


def stain_of(name: str) -> str:
    """Return the stain that a name tells of, a key of :data:`STAINS`; empty where it tells none.

    Examples
    --------
    >>> stain_of("er"), stain_of("ch5_DNA_hoechst33342"), stain_of("MitoTracker"), stain_of("layer 2")
    ('er', 'nuclei', 'mito', '')
    """
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    for stain, known in STAINS.items():
        if any(word == one or (len(one) > SHORT and word.startswith(one)) for word in words for one in known):
            return stain
    return ""


def showing(names: Sequence[str], target: str) -> list[int]:
    """Return which channels or files show a target: those whose name has its very word, else those of its kind.

    Examples
    --------
    >>> showing(["ch2_ER_concanavalinA488", "filter"], "er"), showing(["Hoechst", "GFP"], "nuclei")
    ([0], [0])
    >>> showing(["GFP", "Actin"], "actin"), showing(["GFP", "Actin"], "agp")
    ([1], [0, 1])
    """
    wanted, kind = target.lower(), stain_of(target)
    named = [
        number
        for number, name in enumerate(names)
        if wanted in re.split(r"[^a-z0-9]+", name.lower()) or (len(wanted) > SHORT and wanted in name.lower())
    ]
    return named or [number for number, name in enumerate(names) if kind and stain_of(name) == kind]


def overlay_stains(names: Sequence[str]) -> dict[str, str]:
    """Return which stain is red, green and blue in an overlay, in this order; nothing where fewer than two are known.

    Parameters
    ----------
    names : sequence of str
        Of the stains that there are; the first of a colour is taken.

    Examples
    --------
    >>> overlay_stains(["nuclei", "er", "agp", "mito", "rna"])
    {'red': 'er', 'green': 'agp', 'blue': 'nuclei'}
    >>> overlay_stains(["nuclei", "mito"])
    {}
    """
    found: dict[str, str] = {}
    for colour, stain in COLOURS.items():
        named = [name for name in names if stain_of(name) == stain]
        if named:
            found[colour] = named[0]
    return found if len(found) > 1 else {}
