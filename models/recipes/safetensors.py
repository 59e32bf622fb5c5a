"""A safetensors file: a length, a JSON header with types and offsets, the numbers."""

import json
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np

# NumPy has no BF16: the upper half of a float32.
TYPES = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: bytes `first` to `end` of the file."""

    kind: str
    shape: tuple[int, ...]
    first: int
    end: int


class CutOff(ValueError):
    """The header does not fit into the file."""


def read_header(file: BinaryIO, size: int) -> dict[str, Entry]:
    """By name. @param size: of the file; @raises CutOff"""
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if length > size - 8:
        raise CutOff
    entries = {}
    for name, entry in json.loads(file.read(length)).items():
        if name != "__metadata__":
            first, end = (8 + length + offset for offset in entry["data_offsets"])
            entries[name] = Entry(entry["dtype"], tuple(entry["shape"]), first, end)
    return entries


def parse(content: bytes) -> dict[str, np.ndarray]:
    return {
        name: np.frombuffer(content[entry.first : entry.end], TYPES[entry.kind]).reshape(entry.shape)
        for name, entry in read_header(BytesIO(content), len(content)).items()
    }
