"""States as bytes: magic, format number, JSON header, little-endian arrays, CRC-32."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.errors import StateError, counted, one_line

_MAGIC = b"VLMG"
_FORMAT = 2
"""Format of serialised states: 1 = magic, header, arrays; 2 = the same and a CRC-32 of all that."""
_WITHOUT_CHECKSUM = struct.pack("<H", 1)
HEADER_BYTES = 1 << 16
"""Most bytes of the header of a serialised state."""
PACK_FROM = 1 << 15
"""Bytes of arrays from which on they are packed (zlib), as outside games keep whole pictures in
their states.
"""
PACK_TO = 1 << 28
"""Bytes of arrays up to which they are packed."""

Form = tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]
"""Name, type and shape behind the batch axis of each array of a state."""


class Versioned(Protocol):
    """What a state's bytes say of its game."""

    @property
    def name(self) -> str:
        """Identifier of the game."""

    @property
    def version(self) -> int:
        """Number of its rules."""


@dataclass(frozen=True)
class Header:
    """What serialised state bytes say of themselves, well formed but not held to any game yet."""

    game: str
    version: int
    level: dict[str, Any]
    arrays: str  # JSON text of [[name, type, shape], ...]
    rows: int  # B
    packed: int | None  # bytes of the arrays, where they are packed


def read_header(data: bytes) -> tuple[Header, int, int]:
    """The header of serialised state bytes, and where the arrays begin and end.

    Raises:
        StateError: not such bytes, damaged ones, or written by a later format.
    """
    if len(data) < 10 or data[:4] != _MAGIC:
        raise StateError("not a serialised vlmgym state (wrong first bytes)")
    format_number, header_size = struct.unpack("<HI", data[4:10])
    if format_number not in (1, _FORMAT):
        raise StateError(
            f"state format {format_number}: this version reads formats 1 and {_FORMAT}"
        )
    if header_size > HEADER_BYTES:
        raise StateError(
            f"damaged state: a header of {header_size} bytes, allowed are {HEADER_BYTES}"
        )
    body_end = len(data) if format_number == 1 else len(data) - 4
    if 10 + header_size > body_end:
        raise StateError("damaged state: the header is cut off")
    header = _parse_header(bytes(data[10 : 10 + header_size]))
    return header, 10 + header_size, body_end


@lru_cache(256)
def _parse_header(encoded: bytes) -> Header:
    """The states of a trace have the same few headers."""
    try:
        values = json.loads(encoded.decode("utf-8"))
        game = values.pop("game")
        version = values.pop("version")
        level = values.pop("level")
        arrays = values.pop("arrays")
        packed = values.pop("packed", None)
        rows = arrays[0][2][0]
        well_formed = (
            type(game) is str
            and type(version) is int
            and type(level) is dict
            and type(rows) is int
            and 0 <= rows < 1 << 48
            and type(packed) in (int, type(None))
            and not values
        )
        if not well_formed:
            raise StateError(
                "damaged state header: allowed are game, version, level, arrays and "
                "packed, of their types"
            )
        return Header(game, version, level, json.dumps(arrays), rows, packed)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise StateError(f"damaged state header: {type(error).__name__}: {error}") from error


def _little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")


def write_arrays(
    game: Versioned, level: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> bytes:
    """The bytes of a state: its game, the fields of its level, its arrays.

    The arrays are packed where they are large.
    """
    described = []
    contents = []
    for name, array in arrays.items():
        dtype = _little_endian(array.dtype)
        described.append([name, dtype.str, list(array.shape)])
        contents.append(np.ascontiguousarray(array, dtype).tobytes())
    body = b"".join(contents)
    header = {
        "game": game.name,
        "version": game.version,
        "level": dict(level),
        "arrays": described,
    }
    if PACK_FROM <= len(body) <= PACK_TO:
        header["packed"] = len(body)
        body = zlib.compress(body, 1)
    encoded_header = json.dumps(header, separators=(",", ":")).encode()
    data = _MAGIC + struct.pack("<HI", _FORMAT, len(encoded_header)) + encoded_header + body
    return data + struct.pack("<I", zlib.crc32(data))


def read_arrays(data: bytes, header: Header, body: slice, form: Form) -> dict[str, NDArray[Any]]:
    """The arrays of a state whose header was read, held to what they should be.

    Raises:
        StateError: they are others, or damaged.
    """
    rows = header.rows
    allowed = json.dumps(
        [[name, _little_endian(dtype).str, [rows, *shape]] for name, dtype, shape in form]
    )
    if header.arrays != allowed:
        received = one_line(header.arrays, 600)
        raise StateError(f"damaged state: arrays {received}, allowed are {allowed}")
    sizes = [rows * dtype.itemsize * math.prod(shape) for _, dtype, shape in form]
    expected_size = sum(sizes)
    content = _unpack(data[body], header.packed, expected_size)
    checksum = struct.pack("<I", zlib.crc32(data[: body.stop]))
    if data[4:6] != _WITHOUT_CHECKSUM and data[body.stop :] != checksum:
        raise StateError("damaged state: its checksum is another one")
    arrays: dict[str, NDArray[Any]] = {}
    offset = 0
    for name, dtype, shape in form:
        count = rows * math.prod(shape)
        if dtype.kind == "b":
            values = np.frombuffer(content, np.uint8, count, offset)
            if values.max(initial=0) > 1:
                raise StateError(f"damaged state: {name} holds what is neither true nor false")
        array = np.frombuffer(content, _little_endian(dtype), count, offset)
        arrays[name] = array.reshape(rows, *shape).astype(dtype)
        offset += count * dtype.itemsize
    return arrays


def _unpack(body: bytes, packed: int | None, expected_size: int) -> bytes:
    """The bytes of the arrays, ``expected_size`` in all; no more than that is ever unpacked."""
    if packed is not None:
        if packed != expected_size or expected_size > PACK_TO:
            raise StateError(
                f"damaged state: {packed} bytes packed, allowed are {expected_size}, and at most "
                f"{PACK_TO}"
            )
        decompressor = zlib.decompressobj()
        try:
            content = decompressor.decompress(body, expected_size + 1)
        except zlib.error as error:
            raise StateError(f"damaged state: {error}") from error
        if len(content) != expected_size or not decompressor.eof or decompressor.unused_data:
            raise StateError("damaged state: packed arrays of another size")
        body = content
    if len(body) < expected_size:
        raise StateError(f"damaged state: {counted(expected_size - len(body), 'byte')} cut off")
    if len(body) > expected_size:
        raise StateError(f"damaged state: {counted(len(body) - expected_size, 'byte')} too many")
    return body
