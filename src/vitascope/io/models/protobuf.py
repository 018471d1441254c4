"""The wire format of protocol buffers, as far as a stranger's file is looked through: fields by number, nothing more.

What a lenient reader would take in two ways is refused here, so that no other reader sees another file than this one.

References
----------
Protocol Buffers, Encoding (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields; groups (3 and 4), which ONNX does not have, are refused."""

MAX_VARINT_BYTES = 10
"""A number of 64 bits takes no more."""


class Field(NamedTuple):
    """One field of a message.

    Parameters
    ----------
    number : int
        Of the field.
    kind : int
        One of :data:`VARINT`, :data:`FIXED64`, :data:`BYTES`, :data:`FIXED32`.
    value : int or memoryview
        A number as it is stored (unsigned), or the bytes.
    """

    number: int
    kind: int
    value: int | memoryview


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and where it ends.

    Raises
    ------
    ValueError
        If the data end first, or it is longer than 64 bits.
    """
    value = 0
    for n in range(MAX_VARINT_BYTES):
        if at + n >= len(data):
            raise ValueError("it ends in the middle of a number")
        byte = data[at + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            if value >> 64:
                raise ValueError("a number has more than 64 bits")
            return value, at + n + 1
    raise ValueError("a number has more than 64 bits")


def fields(data: memoryview) -> Iterator[Field]:
    """Give the fields of a message in the order of the file.

    Raises
    ------
    ValueError
        If a field reaches beyond the message, or is of no kind that ONNX has.
    """
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        if not number or number >> 29:
            raise ValueError("a field has a number that there is not")
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            size, at = read_varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError("it holds a kind of field that ONNX has not")
        if at + size > len(data):
            raise ValueError("a field reaches beyond its message")
        piece = data[at : at + size]
        at += size
        yield Field(number, kind, piece if kind == BYTES else int.from_bytes(piece, "little"))


def numbers(field: Field) -> Iterator[int]:
    """Give the whole numbers of a field, packed into one or alone.

    Raises
    ------
    ValueError
    """
    if isinstance(field.value, int):
        yield field.value
        return
    at = 0
    while at < len(field.value):
        value, at = read_varint(field.value, at)
        yield value


def signed(value: int) -> int:
    """Return a 64-bit number as stored with its sign."""
    return value - (1 << 64) if value >> 63 else value
