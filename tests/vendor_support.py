"""CZI and LIF files made byte by byte from their formats, for tests."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np

PIXEL_TYPES = {"uint8": 0, "uint16": 1, "float32": 2}
BGR48 = 4


def segment(name, content):
    used = len(content)
    padded = content + b"\0" * (-used % 32)
    return struct.pack("<16sqq", name.encode(), len(padded), used) + padded


def entry(position, dims, pixel_type=1, compression=0):
    """A directory entry of a block: (axis, start, size) in the order X, Y, then the others."""
    head = struct.pack("<2siqiiBB4si", b"DV", pixel_type, position, 0, compression, 0, 0, b"", len(dims))
    return head + b"".join(struct.pack("<4siifi", axis.encode(), start, size, 0.0, size) for axis, start, size in dims)


def packed(array, compression):
    """Pack as CZI does: 0 plain, 5 zstd, 6 zstd with a header, 60 the same without moved bytes."""
    raw = array.tobytes()
    if compression == 5:
        return imagecodecs.zstd_encode(raw)
    if compression == 6 and array.dtype.itemsize == 2:
        moved = np.frombuffer(raw, np.uint8).reshape(-1, 2).T.tobytes()
        return bytes([3, 1, 1]) + imagecodecs.zstd_encode(moved)
    if compression == 6:
        return bytes([1]) + imagecodecs.zstd_encode(raw)
    return raw


def write_czi(path, blocks, names, channels=("BF", "DNA"), compression=0, own_names=None):
    """Write blocks of (dims, array) with a header, their metadata and a directory.

    Scenes lie in wells called ``names``, none where a name is empty; ``own_names`` are what the scenes are called
    themselves. An array of shape (Y, X, 3) is a colour block.
    """
    scenes = "".join(
        f'<Scene Index="{i}" Name="{own_names[i] if own_names else f"P{i}"}">'
        + (f'<Shape Name="{name}"/>' if name else "")
        + "</Scene>"
        for i, name in enumerate(names)
    )
    found = "".join(f'<Channel Id="Channel:{i}" Name="{name}"/>' for i, name in enumerate(channels))
    distances = "".join(f'<Distance Id="{axis}"><Value>3.25E-07</Value></Distance>' for axis in "XY")
    xml = (
        f"<ImageDocument><Metadata><Information><Image><Dimensions><Channels>{found}</Channels><S><Scenes>{scenes}"
        f"</Scenes></S></Dimensions></Image></Information><Scaling><Items>{distances}</Items></Scaling></Metadata>"
        "</ImageDocument>"
    ).encode()
    body, abouts = b"", []
    start = 32 + 512
    for dims, array in blocks:
        colour = array.shape[-1] == 3
        kind = BGR48 if colour else PIXEL_TYPES[str(array.dtype)]
        data = packed(array, compression)
        abouts.append(entry(start + len(body), dims, kind, compression))
        about = abouts[-1]
        content = struct.pack("<iiq", 0, 0, len(data)) + about + b"\0" * max(240 - len(about), 0) + data
        body += segment("ZISRAWSUBBLOCK", content)
    metadata = start + len(body)
    body += segment("ZISRAWMETADATA", struct.pack("<ii248x", len(xml), 0) + xml)
    directory = start + len(body)
    body += segment("ZISRAWDIRECTORY", struct.pack("<i124x", len(blocks)) + b"".join(abouts))
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", 0, directory, metadata, 0, 0)
    path.write_bytes(segment("ZISRAWFILE", header + b"\0" * (512 - len(header))) + body)
    return path


LIF_DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "λ": 5, "A": 6, "M": 10}


def write_lif(path, images):
    """Write images as a Leica file, version 2.

    Each is (name, uint16 array) of Y, X, or (name, array, axes) with letters of ``LIF_DIMENSIONS`` and C, the slowest
    first; channels are called Green, Red, Blue …
    """
    elements, memory = "", b""
    for number, (name, array, *rest) in enumerate(images):
        axes = rest[0] if rest else "YX"
        dims = ""
        for position, letter in reversed(list(enumerate(axes))):
            if letter == "C":
                continue
            length = (array.shape[position] - 1) * (5e-7 if letter in "XY" else 2e-6)
            dims += (
                f'<DimensionDescription DimID="{LIF_DIMENSIONS[letter]}" NumberOfElements="{array.shape[position]}" '
                f'Origin="0" Length="{length}" Unit="m" BitInc="0" BytesInc="{array.strides[position]}"/>'
            )
        count = array.shape[axes.index("C")] if "C" in axes else 1
        step = array.strides[axes.index("C")] if "C" in axes else 0
        channels = "".join(
            '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
            f'Max="65535" Unit="" LUTName="{("Green", "Red", "Blue", "Gray")[c]}" IsLUTInverted="0" '
            f'BytesInc="{c * step}" BitInc="0"/>'
            for c in range(count)
        )
        elements += (
            f'<Element Name="{name}" Visibility="1" UniqueID="u{number}"><Data><Image TextDescription="">'
            "<ImageDescription>"
            f"<Channels>{channels}</Channels><Dimensions>{dims}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/><Children/></Element>'
        )
        block = f"MemBlock_{number}".encode("utf-16-le")
        inside = struct.pack("<BQBI", 0x2A, array.nbytes, 0x2A, len(block) // 2) + block
        memory += struct.pack("<II", 0x70, len(inside)) + inside + array.tobytes()
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="{path.name}" Visibility="1" UniqueID="r"><Data>'
        f'<Experiment Path=""/></Data><Memory Size="0" MemoryBlockID="MemBlock_r"/><Children>{elements}</Children>'
        "</Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    inside = struct.pack("<BI", 0x2A, len(xml) // 2) + xml
    path.write_bytes(struct.pack("<II", 0x70, len(inside)) + inside + memory)
    return path
