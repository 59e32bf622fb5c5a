"""Linear layers in int8: a scale per column of the weights, one constant scale and zero point per input.

    x / smooth  ->  round to uint8  ->  uint8 [rows, in] x int8 [in, out]  ->  float32 + bias

Constant scales make the answer of a text independent of what is in the batch with it, and save the pass over
the input that looks for its range; onnxruntime's own dynamic quantization has neither. One scale for all
channels is too coarse for the few that are a hundred times larger, so these are made smaller and the rows of
the weights larger by the same factor, as in Xiao et al. 2023, "SmoothQuant". Factors and ranges come from the
activations of the fp32 graph on a few hundred texts (`measure`, then `write`). They are committed, so that a
build needs no measurement and gives the same bytes everywhere.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .bert import Linear, Words
from .onnx_graph import FLOAT, MICROSOFT, GraphBuilder

STRENGTH = 0.8
# Factors are powers of 2^(1/8): a table and a shift, so that no machine's exp() has a say in the bytes.
_STEPS = 8
_ROOTS = np.array(
    [1.0, 1.0905077, 1.1892071, 1.2968396, 1.4142135, 1.5422108, 1.6817929, 1.8340081], np.float32
)
_TOP = np.float32(127)

Weights = Callable[[str], tuple[np.ndarray, np.ndarray]]


def by_column(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 [in, out] and scales [out] of a matrix [in, out]."""
    scales = np.maximum(np.abs(matrix).max(0), np.float32(1e-12)) / _TOP
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)


def _factors(exponents: list[int]) -> np.ndarray:
    steps = np.array(exponents)
    return np.ldexp(_ROOTS[steps % _STEPS], steps // _STEPS).astype(np.float32)


def linear_with(weights: Weights, calibration: dict) -> Linear:
    """`weights(name)` gives a matrix [in, out] and a bias [out]."""

    def quantized(graph: GraphBuilder, wire: str) -> tuple[list[str], np.ndarray]:
        """Names of the rounded input, its scale and zero point, and the factors that it was divided by."""
        entry = calibration[wire]
        factors = _factors(entry["smooth"])
        low, high = np.float32(entry["low"]), np.float32(entry["high"])
        scale = (high - low) / np.float32(255)
        names = [f"{wire}.uint8", f"{wire}.scale", f"{wire}.zero"]
        if not graph.has(names[0]):
            inverse = graph.constant(f"{wire}.inverse", np.float32(1) / factors)
            smooth = graph.node("Mul", [wire, inverse], f"{wire}.smooth")
            constants = [
                graph.constant(names[1], scale),
                graph.constant(names[2], np.uint8(np.clip(np.rint(-low / scale), 0, 255))),
            ]
            graph.node("QuantizeLinear", [smooth, *constants], names[0])
        return names, factors

    def linear(graph: GraphBuilder, wire: str, name: str, output: str) -> str:
        (rounded, scale, zero), factors = quantized(graph, wire)
        matrix, bias = weights(name)
        integers, scales = by_column(matrix * factors[:, None])
        inputs = [
            rounded,
            graph.constant(f"{name}.int8", integers),
            scale,
            graph.constant(f"{name}.scales", scales),
            zero,
            "",
            graph.constant(f"{name}.bias", bias),
        ]
        return graph.node("MatMulIntegerToFloat", inputs, output, MICROSOFT)

    return linear


def words_of(table: np.ndarray) -> Words:
    """A table of words in int8, with a scale per word."""
    integers, scales = by_column(table.T)

    def words(graph: GraphBuilder, ids: str, output: str) -> str:
        rows = graph.node("Gather", [graph.constant("word.int8", integers.T), ids], f"{output}.int8")
        widened = graph.node("Cast", [rows], f"{output}.widened", to=FLOAT)
        factors = graph.node(
            "Gather", [graph.constant("word.scales", scales[:, None]), ids], f"{output}.scales"
        )
        return graph.node("Mul", [widened, factors], output)

    return words


def measure(weights: Weights, inputs_of: dict[str, list[str]], activations: dict[str, np.ndarray]) -> dict:
    """The calibration, from activations [rows, in] by wire and the layers that each wire feeds."""
    calibration = {}
    for wire, rows in activations.items():
        most = np.abs(rows).max(0) + 1e-6
        heaviest = np.max([np.abs(weights(name)[0]).max(1) for name in inputs_of[wire]], 0)
        ideal = np.log2(most) * STRENGTH - np.log2(heaviest) * (1 - STRENGTH)
        steps = np.rint((ideal - ideal.mean()) * _STEPS).astype(int)
        smooth = rows / _factors(steps.tolist())
        calibration[wire] = {
            "low": float(f"{min(0.0, smooth.min()):.4g}"),
            "high": float(f"{max(0.0, smooth.max()):.4g}"),
            "smooth": steps.tolist(),
        }
    return calibration


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf8"))


def write(calibration: dict, path: Path) -> None:
    lines = [f' "{wire}": {json.dumps(entry)}' for wire, entry in calibration.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf8")
