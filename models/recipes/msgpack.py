"""Reads MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md): what spaCy's files are written in.

Extension types are refused; the files that are read here have none. Strings are UTF-8, binary is bytes.
"""

import struct

_FIXED = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_FIXED |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_SINGLE = {0xC0: None, 0xC2: False, 0xC3: True}
_SIZED = {0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I"), 0xD9: ("str", ">B")}
_SIZED |= {0xDA: ("str", ">H"), 0xDB: ("str", ">I"), 0xDC: ("list", ">H"), 0xDD: ("list", ">I")}
_SIZED |= {0xDE: ("map", ">H"), 0xDF: ("map", ">I")}


class _Reader:
    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    def number(self, form: str):
        (value,) = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return value

    def value(self):
        tag = self.number(">B")
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 0x100
        if tag < 0xC0:
            kind, mask = ("map", 0x0F) if tag < 0x90 else ("list", 0x0F) if tag < 0xA0 else ("str", 0x1F)
            return self.sized(kind, tag & mask)
        if tag in _SINGLE:
            return _SINGLE[tag]
        if tag in _FIXED:
            return self.number(_FIXED[tag])
        if tag not in _SIZED:
            raise ValueError(f"MessagePack type 0x{tag:02x} is not read here")
        kind, form = _SIZED[tag]
        return self.sized(kind, self.number(form))

    def sized(self, kind: str, size: int):
        if kind == "map":
            return {self.value(): self.value() for _ in range(size)}
        if kind == "list":
            return [self.value() for _ in range(size)]
        start, self.at = self.at, self.at + size
        part = self.content[start : self.at]
        return part.decode("utf8") if kind == "str" else part


def unpack(content: bytes):
    return _Reader(content).value()
