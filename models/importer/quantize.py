"""Weights [rows, columns] in blocks of 32 along the columns, as MatMulNBits reads them."""

from dataclasses import dataclass

import numpy as np

BLOCK = 32


@dataclass(frozen=True)
class Quantized:
    bits: int
    """[rows, blocks, 32 * bits / 8] uint8; the even element of a pair is the low nibble."""
    packed: np.ndarray
    """[rows * blocks] float32."""
    scale: np.ndarray
    """[rows * ceil(blocks / 2)] uint8, two to a byte, for 4 bits; None: the middle of the range."""
    zero_point: np.ndarray | None

    def dequantized(self) -> np.ndarray:
        rows, blocks, _ = self.packed.shape
        if self.bits == 8:
            levels = self.packed.astype(np.float32) - 128
        else:
            levels = np.stack([self.packed & 15, self.packed >> 4], -1).reshape(rows, blocks, BLOCK)
            levels = levels.astype(np.float32) - self._zero_points(rows, blocks)[..., None]
        return (levels * self.scale.reshape(rows, blocks, 1)).reshape(rows, blocks * BLOCK)

    def _zero_points(self, rows: int, blocks: int) -> np.ndarray:
        pairs = self.zero_point.reshape(rows, -1)
        return np.stack([pairs & 15, pairs >> 4], -1).reshape(rows, -1)[:, :blocks].astype(np.float32)


def quantize(weight: np.ndarray, bits: int) -> Quantized:
    """4 bits between the least and the largest of each block, 8 bits around zero."""
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // BLOCK, BLOCK)
    return _eight(blocks) if bits == 8 else _four(blocks)


def _eight(blocks: np.ndarray) -> Quantized:
    scale = np.abs(blocks).max(-1) / np.float32(127)
    levels = np.rint(blocks / _divisor(scale)[..., None]) + 128
    return Quantized(8, levels.astype(np.uint8), scale.astype(np.float32).reshape(-1), None)


def _four(blocks: np.ndarray) -> Quantized:
    # Zero is always a level: what is zero stays zero.
    low, high = np.minimum(blocks.min(-1), 0), np.maximum(blocks.max(-1), 0)
    scale = ((high - low) / np.float32(15)).astype(np.float32)
    divisor = _divisor(scale)
    zero = np.clip(np.rint(-low / divisor), 0, 15)
    levels = np.clip(np.rint(blocks / divisor[..., None]) + zero[..., None], 0, 15).astype(np.uint8)
    packed = levels[..., 0::2] | levels[..., 1::2] << 4
    pairs = zero.astype(np.uint8)
    if pairs.shape[1] % 2:
        pairs = np.pad(pairs, ((0, 0), (0, 1)))
    return Quantized(4, packed, scale.reshape(-1), (pairs[:, 0::2] | pairs[:, 1::2] << 4).reshape(-1))


def _divisor(scale: np.ndarray) -> np.ndarray:
    """A block of zeros has scale 0; any divisor gives its levels."""
    return np.where(scale == 0, np.float32(1), scale)
