"""Which channel and which planes of an image a network gets to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitascope.core.card import InputSpec
from vitascope.core.channels import label_free_channel
from vitascope.core.errors import InputError, ModelError
from vitascope.core.micrograph import Micrograph


@dataclass(frozen=True)
class SelectedPlanes:
    """One picture to run a network on.

    Parameters
    ----------
    planes : list of array, each (Y, X)
        One per network channel.
    t : int
        Time point.
    z : int or None
        Plane, where the network takes one at a time out of several.
    """

    planes: list[Any]
    t: int
    z: int | None


def select_pictures(
    image: Micrograph,
    spec: InputSpec,
    channel: str | None,
    planes: Sequence[int] | None,
    channels: Sequence[str] | None = None,
) -> tuple[list[SelectedPlanes], tuple[str, ...]]:
    """Cut an image into the pictures that a network takes, one per time point.

    Parameters
    ----------
    image : Micrograph
    spec : InputSpec
        Of a model with one channel and n planes, or n channels and one plane.
    channel : str or None
        Name or number of the label-free channel; None takes the only one, or the one that names tell.
    planes : sequence of int or None
        Planes to use, from 0; None takes all (or spread evenly, where the stack has more than the model wants). A
        single-plane model runs on every plane.
    channels : sequence of str or None
        For a model of several channels: their names or numbers in the image, in the model's order; None takes those
        whose names tell.

    Returns
    -------
    tuple of list of SelectedPlanes, and flags

    Raises
    ------
    InputError
        If a channel cannot be told, or planes are too few or out of range.
    ModelError
        If the model takes several planes of several channels.
    """
    if len(spec.channels) > 1:
        return _several_channels(image, spec, planes, find_channels(image, channels, spec))
    if channels is not None:
        c = find_channels(image, channels, spec)[0]
    else:
        c = find_channel(image, channel, spec.channels[0])
    count = image.sizes["Z"]
    chosen, flags = choose_planes(count, spec.planes, planes)
    pictures = []
    for t in range(image.sizes["T"]):
        if spec.planes == 1:
            for z in chosen:
                pictures.append(SelectedPlanes([image.plane(t, c, z)], t, z if count > 1 else None))
        else:
            pictures.append(SelectedPlanes([image.plane(t, c, z) for z in chosen], t, None))
    return pictures, flags


def _several_channels(
    image: Micrograph, spec: InputSpec, planes: Sequence[int] | None, found: tuple[int, ...]
) -> tuple[list[SelectedPlanes], tuple[str, ...]]:
    if spec.planes != 1:
        raise ModelError("The model takes several planes of several channels, which is not known here.")
    count = image.sizes["Z"]
    chosen, flags = choose_planes(count, 1, planes)
    pictures = [
        SelectedPlanes([image.plane(t, c, z) for c in found], t, z if count > 1 else None)
        for t in range(image.sizes["T"])
        for z in chosen
    ]
    more = image.sizes["C"] > len(found)
    return pictures, (*flags, "fewer_channels_used") if more else flags


def graph_channels(image: Micrograph, spec: InputSpec, channel: str | None) -> tuple[Sequence[int], tuple[str, ...]]:
    """Return the channels of an image that a network of another program takes, in its order, and flags.

    They are told by name; where an image of as many channels has other names, they stand in the network's order.

    Raises
    ------
    InputError
        If a channel is missing or cannot be told.
    """
    if len(spec.channels) == 1:
        return (find_channel(image, channel, spec.channels[0]),), ()
    if image.sizes["C"] == len(spec.channels):
        names = [name.lower() for name in image.channel_names]
        wanted = [name.lower() for name in spec.channels]
        return [names.index(name) for name in wanted] if sorted(names) == sorted(wanted) else range(len(wanted)), ()
    return find_channels(image, None, spec), ("fewer_channels_used",)


def find_channels(image: Micrograph, channels: Sequence[str] | None, spec: InputSpec) -> tuple[int, ...]:
    """Return the indices of the channels that a model of several takes, in its order.

    Raises
    ------
    InputError
        If a channel is missing, or neither the caller nor the names tell which is which.
    """
    names, wanted, count = image.channel_names, spec.channels, image.sizes["C"]
    listed = ", ".join(f"{i}: {n}" for i, n in enumerate(names)) or f"numbers 0 to {count - 1}, without names"
    told = f"The model takes {len(wanted)} channels ({', '.join(wanted)})"
    if channels is not None:
        if len(channels) != len(wanted) or len(set(channels)) < len(channels):
            raise InputError(
                f"{told}; {len(channels)} are named.", "Name each once, in that order.", flag="wrong_channels"
            )
        return tuple(find_channel(image, c, "") for c in channels)
    if count < len(wanted):
        raise InputError(
            f"{told}; the image has {count}.",
            "Give the files of all channels; name their parts with --pattern if they are not put together.",
            flag="wrong_channels",
            dock="Open all channels, select their layers and take them as channels.",
        )
    lowered = [n.lower() for n in names]
    found = []
    for name in wanted:
        known = {n.lower() for n in (name, *spec.also_called.get(name, ()))}
        found.append([i for i, n in enumerate(lowered) if n in known])
    if all(len(f) == 1 for f in found) and len({f[0] for f in found}) == len(wanted):
        return tuple(f[0] for f in found)
    raise InputError(
        f"{told}, and the names of the image's channels do not tell which is which.",
        f"Name them in that order, out of {listed} (on the command line --set 'channels=[0, 1]').",
        flag="wrong_channels",
        dock=f"Name them in that order under Channels, out of {listed}.",
    )


def find_channel(image: Micrograph, channel: str | None, wanted: str) -> int:
    """Return the index of the label-free channel.

    Raises
    ------
    InputError
        If there are several and neither the caller nor their names tell which, or there is none of this name or number.
    """
    names, count = image.channel_names, image.sizes["C"]
    listed = ", ".join(f"{i}: {n}" for i, n in enumerate(names)) or f"numbers 0 to {count - 1}"
    if channel is not None:
        lowered = [n.lower() for n in names]
        if channel.lower() in lowered:
            return lowered.index(channel.lower())
        if channel.isdecimal() and int(channel) < count:
            return int(channel)
        raise InputError(f"The image has no channel '{channel}'.", f"It has {listed}.", flag="wrong_channels")
    if count == 1:
        return 0
    told = label_free_channel(names, wanted)
    if told is not None:
        return told
    raise InputError(
        f"The image has {count} channels, and their names do not tell which one is label-free.",
        f"Name it: channel = one of {listed} (on the command line --set channel=0).",
        flag="wrong_channels",
        dock="Choose it under Channel.",
    )


def choose_planes(count: int, wanted: int, planes: Sequence[int] | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the planes to use, and flags.

    Raises
    ------
    InputError
        If the stack has fewer planes than the model wants, or named planes are none, out of range or of another number.

    Examples
    --------
    >>> choose_planes(13, 7, None)
    ((0, 2, 4, 6, 8, 10, 12), ())
    """
    if planes is not None:
        missing = [z for z in planes if not 0 <= z < count]
        if missing or not planes:
            raise InputError(
                f"Plane {missing[0]} is not there." if missing else "No plane is named.",
                f"The stack has planes 0 to {count - 1}.",
                flag="wrong_planes",
            )
        if wanted > 1 and len(planes) != wanted:
            raise InputError(
                f"The model takes {wanted} planes; {len(planes)} are named.", f"Name {wanted}.", flag="wrong_planes"
            )
        distinct = tuple(dict.fromkeys(planes))
        if wanted == 1:
            return distinct, ()
        return tuple(planes), ("planes_missing",) if len(distinct) < len(planes) else ()
    if wanted == 1:
        return tuple(range(count)), ()
    if count < wanted:
        raise InputError(
            f"The model takes a stack of {wanted} planes; the image has {count}.",
            "Choose a model for single planes, or open all planes as one stack.",
            flag="wrong_planes",
        )
    return tuple(round(v) for v in np.linspace(0, count - 1, wanted).tolist()), ()
