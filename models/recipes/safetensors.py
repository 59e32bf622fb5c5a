"""Reads a safetensors file: a length, a JSON header with types and offsets, the numbers."""

import json
import struct

import numpy as np

_TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32}


def parse(content: bytes) -> dict[str, np.ndarray]:
    (size,) = struct.unpack_from("<Q", content)
    start = 8 + size
    tensors = {}
    for name, entry in json.loads(content[8:start]).items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        values = np.frombuffer(content[start + first : start + end], _TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors
