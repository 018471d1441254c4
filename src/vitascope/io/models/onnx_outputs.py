"""An ONNX file with some of its outputs only."""

from __future__ import annotations

from collections.abc import Collection

from vitascope.io.models.protobuf import BYTES, FIXED32, FIXED64, VARINT, Field, fields

GRAPH, OUTPUT, NAME = 7, 12, 1
"""Fields of onnx.proto: ModelProto.graph, GraphProto.output, ValueInfoProto.name."""


def with_outputs(data: bytes, names: Collection[str]) -> bytes:
    """Leave out all outputs but those named; they stay in the file's order.

    Programs that take a file's outputs one by one would mistake the others for pictures.

    Parameters
    ----------
    data : bytes
        That :func:`vitascope.io.models.onnx_file.check_onnx` has passed.
    names : collection of str
    """
    whole = bytearray()
    for one in fields(memoryview(data)):
        if one.number == GRAPH and isinstance(one.value, memoryview):
            kept = b"".join(written(part) for part in fields(one.value) if _is_kept(part, names))
            whole += written(Field(GRAPH, BYTES, memoryview(kept)))
        else:
            whole += written(one)
    return bytes(whole)


def _is_kept(part: Field, names: Collection[str]) -> bool:
    if part.number != OUTPUT or not isinstance(part.value, memoryview):
        return True
    told = [bytes(f.value).decode() for f in fields(part.value) if f.number == NAME and isinstance(f.value, memoryview)]
    return told[-1:] == [name for name in told[-1:] if name in names]


def written(one: Field) -> bytes:
    """Return a field as it stands in a file.

    Examples
    --------
    >>> written(Field(1, VARINT, 300)).hex()
    '08ac02'
    """
    key = _varint(one.number << 3 | one.kind)
    if not isinstance(one.value, int):
        return key + _varint(len(one.value)) + bytes(one.value)
    if one.kind == VARINT:
        return key + _varint(one.value)
    return key + one.value.to_bytes({FIXED32: 4, FIXED64: 8}[one.kind], "little")


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
