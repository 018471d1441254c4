"""Pairs of image and stain that lie in folders: found by name, or as channels of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.match import match_folders
from vitascope.recipes.finetune import TrainingPair


@dataclass(frozen=True)
class FilePair:
    """An image and its stains in files; they are read when they are checked, and again when training starts.

    Parameters
    ----------
    name : str
        Of the image.
    image : tuple of str
        Its files.
    stains : mapping of str to tuple of str
        Files of each stain, by target.
    channel : str
        Label-free channel, where the image has several; empty for the model's own choice.
    stain_channels : mapping of str to str
        Channel of each stain, by target, where the stains are channels of the image.
    group : str
        Plate and well, where names tell them: images of one never stand on both sides of the split.
    """

    name: str
    image: tuple[str, ...]
    stains: Mapping[str, tuple[str, ...]]
    channel: str = ""
    stain_channels: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    def pair(self) -> TrainingPair:
        """Read image and stains.

        Raises
        ------
        ReaderError
            If a file cannot be read.
        InputError
            If a stain is more than one picture.
        """
        from vitascope.io.images.read import read_image  # readers are loaded when they are wanted

        image = read_image(self.image)
        targets = {}
        for target, files in self.stains.items():
            stain = image if files == self.image else read_image(files)
            targets[target] = _picture(stain, self.stain_channels.get(target, ""))
        return TrainingPair(
            name=self.name, image=image, targets=targets, channel=self.channel or None, group=self.group
        )


@dataclass(frozen=True)
class FoundPairs:
    """What was found in folders.

    Parameters
    ----------
    pairs : tuple of FilePair
    images, stains : tuple of str
        Files that have no partner.
    """

    pairs: tuple[FilePair, ...]
    images: tuple[str, ...] = ()
    stains: tuple[str, ...] = ()


def pair_folders(images: Path, stains: Mapping[str, Path]) -> FoundPairs:
    """Pair the images of a folder with those of a folder for each stain, by name.

    Raises
    ------
    InputError
        If a folder holds no image, two files of it have the same name, or nothing can be paired.
    """
    by_image: dict[str, dict[str, str]] = {}
    left_images: dict[str, None] = {}
    left_stains: list[str] = []
    for target, folder in stains.items():
        found = match_folders(images, folder)
        for _, image, stain in found.pairs:
            by_image.setdefault(image, {})[target] = stain
        left_images |= dict.fromkeys(found.images)
        left_stains += [f"{folder.name}/{name}" for name in found.stains]
    whole = {image: own for image, own in by_image.items() if len(own) == len(stains)}
    if not whole:
        raise InputError("No image has all stains.", f"Stains: {', '.join(stains)}.")
    pairs = tuple(
        FilePair(
            name=image.partition(".")[0],
            image=(str(images / image),),
            stains={target: (str(stains[target] / own[target]),) for target in stains},
        )
        for image, own in whole.items()
    )
    return FoundPairs(pairs, tuple(name for name in left_images if name not in whole), tuple(left_stains))


def channel_names(folder: Path) -> list[str]:
    """Return the names of the channels that all images of a folder or plate have; numbers from 0 where unnamed.

    Raises
    ------
    ReaderError
        If the folder holds no image.
    """
    from vitascope.io.images.read import read_images

    names = [_channels(image) for image in read_images(folder)]
    return [name for name in names[0] if all(name in other for other in names)]


def pair_channels(folder: Path, channel: str, stains: Mapping[str, str]) -> FoundPairs:
    """Take channels of the images of a folder or plate as image and stains.

    Raises
    ------
    ReaderError
        If the folder holds no image.
    InputError
        If a channel is taken twice, or no image has them all.
    """
    from vitascope.io.images.read import read_images

    wanted = [channel, *stains.values()]
    if len(set(wanted)) < len(wanted):
        raise InputError("A channel is taken twice.", "Choose a channel for the image and another for each stain.")
    pairs, left = [], []
    for image in read_images(folder):
        if not set(wanted) <= set(_channels(image)):
            left.append(image.name)
            continue
        place = image.place
        own = {target: image.sources for target in stains}
        pairs.append(
            FilePair(
                name=image.name,
                image=image.sources,
                stains=own,
                channel=channel,
                stain_channels=stains,
                group=" ".join(filter(None, (place.plate, place.well))) if place.well else "",
            )
        )
    if not pairs:
        raise InputError(f"No image of {folder.name} has the channels {', '.join(wanted)}.")
    return FoundPairs(tuple(pairs), tuple(left))


def _channels(image: Micrograph) -> Sequence[str]:
    return image.channel_names or [str(k) for k in range(image.sizes["C"])]


def _picture(stain: Micrograph, channel: str) -> NDArray[Any]:
    """Return the one picture (Y, X) of a stain."""
    sizes = stain.sizes
    several = [a for a in ("T", "Z") if sizes[a] > 1] + ([] if channel or sizes["C"] == 1 else ["C"])
    if several:
        told = ", ".join(f"{sizes[a]} along {a}" for a in several)
        raise InputError(f"The stain '{stain.name}' is more than one picture: {told}.", "One picture for each image.")
    index = list(_channels(stain)).index(channel) if channel else 0
    return np.asarray(stain.plane(0, index, 0))
