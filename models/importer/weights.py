"""Puts the weights of a checkpoint into a graph, as fp32 or in blocks of int8 or int4, a piece at a time.

int4 and int8 are MatMulNBits with int8 activations inside the products, 20 times faster on a CPU than fp32
ones with the same weights. Table of embeddings and head are int8 in both: a small part of a large model, and the
one whose rounding shows most.
"""

import numpy as np

from recipes.onnx_graph import FLOAT, MICROSOFT, GraphBuilder

from .checkpoint import Checkpoint
from .errors import ImportRefused
from .layout import LINEAR, Place
from .quantize import BLOCK, Quantized, quantize

PRECISIONS = {"fp32": 32, "int8": 8, "int4": 4}
ACCURACY_LEVEL = 4
# Of a weight at a time: 64 million numbers are 256 MB of fp32.
_PIECE = 64_000_000


class PackedWeights:
    def __init__(self, checkpoint: Checkpoint, precision: str):
        self.checkpoint, self.bits = checkpoint, PRECISIONS[precision]
        sizes = checkpoint.architecture
        widths = {sizes.width, sizes.heads * sizes.head_width, sizes.feed_width}
        if self.bits < 32 and any(width % BLOCK for width in widths):
            raise ImportRefused(
                f"a width of {sorted(widths)} is no multiple of {BLOCK}: use --precision fp32"
            )

    def size_bytes(self) -> int:
        """Of all weights in the files, to a percent."""
        sizes, layout = self.checkpoint.architecture, self.checkpoint.layout
        linear = sum(
            int(np.prod(place.shape)) if place.rows is None else place.row_count * place.shape[1]
            for layer in range(sizes.layers)
            for place in (layout.weight(role, layer) for role in LINEAR)
        )
        table = sizes.vocabulary * sizes.width * (1 if sizes.tied else 2)
        rotary = 2 * sizes.context * len(sizes.frequencies) * 4
        return int(
            linear * self._bytes_each(self.bits) + table * self._bytes_each(max(self.bits, 8)) + rotary
        )

    @staticmethod
    def _bytes_each(bits: int) -> float:
        return {32: 4, 8: 1 + 4 / BLOCK, 4: 0.5 + 4.5 / BLOCK}[bits]

    def norm(self, graph: GraphBuilder, role: str, layer: int | None) -> str:
        place = self.checkpoint.layout.weight(role, layer)
        return graph.constant(place.name, self.checkpoint.rows(place))

    def linear(self, graph: GraphBuilder, wire: str, role: str, layer: int | None, output: str) -> str:
        bias = self.checkpoint.layout.bias(role, layer)
        product = f"{output}.product" if bias else output
        self._product(graph, wire, role, layer, product)
        if bias is None:
            return product
        name = f"{_weight(role, layer)}.bias"
        return graph.node("Add", [product, graph.constant(name, self.checkpoint.rows(bias))], output)

    def _product(self, graph: GraphBuilder, wire: str, role: str, layer: int | None, output: str) -> None:
        place, name = self.checkpoint.layout.weight(role, layer), _weight(role, layer)
        if self.bits == 32:
            graph.node("MatMul", [wire, graph.constant(name, self.checkpoint.rows(place).T)], output)
            return
        packed = self._quantized(place, self.bits)
        inputs = [
            wire,
            graph.constant(f"{name}.q", packed.packed),
            graph.constant(f"{name}.scale", packed.scale),
        ]
        if packed.zero_point is not None:
            inputs.append(graph.constant(f"{name}.zero", packed.zero_point))
        self._matmul_nbits(graph, inputs, output, place, self.bits)

    def embed(self, graph: GraphBuilder, ids: str, output: str) -> str:
        place = self.checkpoint.layout.weight("embedding")
        if self.bits == 32:
            table = graph.constant("embedding", self.checkpoint.rows(place))
            return graph.node("Gather", [table, ids], output)
        packed = self._quantized(place, 8)
        table = graph.constant("embedding.q", packed.packed)
        scale = graph.constant("embedding.scale", packed.scale.reshape(place.row_count, -1, 1))
        if self.checkpoint.architecture.tied:
            graph.constant("embedding.flat_scale", packed.scale)
        wide = graph.node(
            "Cast", [graph.node("Gather", [table, ids], "embedding.rows")], "embedding.wide", to=FLOAT
        )
        middle = graph.constant("zero_point", np.float32(128))
        centred = graph.node("Sub", [wide, middle], "embedding.centred")
        scales = graph.node("Gather", [scale, ids], "embedding.scales")
        scaled = graph.node("Mul", [centred, scales], "embedding.scaled")
        shape = graph.constant("embedding.shape", np.array([0, 0, place.shape[1]], np.int64))
        return graph.node("Reshape", [scaled, shape], output)

    def head(self, graph: GraphBuilder, wire: str, output: str) -> None:
        tied = self.checkpoint.architecture.tied
        place = self.checkpoint.layout.weight("embedding" if tied else "head")
        if self.bits < 32:
            inputs = [wire, "embedding.q", "embedding.flat_scale"]
            if not tied:
                packed = self._quantized(place, 8)
                constants = (("head.q", packed.packed), ("head.scale", packed.scale))
                inputs = [wire, *(graph.constant(name, value) for name, value in constants)]
            self._matmul_nbits(graph, inputs, output, place, 8)
        elif tied:
            # Gemm reads the table as it lies; MatMul would need a second, turned one.
            rows = graph.constant("head.rows", np.array([-1, place.shape[1]], np.int64))
            flat = graph.node("Reshape", [wire, rows], "head.flat")
            product = graph.node("Gemm", [flat, "embedding"], "head.product", transB=1)
            axes = graph.node("Shape", [wire], "head.wire_shape")
            ends = [
                graph.constant(f"head.{name}", np.array([at], np.int64))
                for name, at in (("from", 0), ("to", 2))
            ]
            batch = graph.node("Slice", [axes, *ends], "head.batch")
            width = graph.constant("head.width", np.array([place.shape[0]], np.int64))
            shape = graph.node("Concat", [batch, width], "head.shape", axis=0)
            graph.node("Reshape", [product, shape], output)
        else:
            graph.node("MatMul", [wire, graph.constant("head.weight", self.checkpoint.rows(place).T)], output)

    def _quantized(self, place: Place, bits: int) -> Quantized:
        step = max(1, _PIECE // place.shape[1])
        pieces = [
            quantize(self.checkpoint.rows(place, start, min(start + step, place.row_count)), bits)
            for start in range(0, place.row_count, step)
        ]
        if len(pieces) == 1:
            return pieces[0]
        zeros = [piece.zero_point for piece in pieces]
        return Quantized(
            bits,
            np.concatenate([piece.packed for piece in pieces]),
            np.concatenate([piece.scale for piece in pieces]),
            None if zeros[0] is None else np.concatenate(zeros),
        )

    def _matmul_nbits(
        self, graph: GraphBuilder, inputs: list[str], output: str, place: Place, bits: int
    ) -> None:
        sizes = {"K": place.shape[1], "N": place.row_count, "bits": bits, "block_size": BLOCK}
        graph.node("MatMulNBits", inputs, output, MICROSOFT, accuracy_level=ACCURACY_LEVEL, **sizes)


def _weight(role: str, layer: int | None) -> str:
    return f"{role}.weight" if layer is None else f"{role}{layer}.weight"
