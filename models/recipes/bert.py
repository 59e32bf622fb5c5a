"""A BERT encoder with mean pooling as an ONNX graph; both sentence encoders here are one.

    input_ids, attention_mask [batch, time] int64, and token_type_ids where the model has them
      embeddings (words + positions + types), layer norm       [batch, time, hidden]
      layers of attention and feed-forward, norm after each    [batch, time, hidden]
      mean over the tokens of the mask                         sentence_embedding [batch, hidden] float32

The mean is not normalised: who wants the direction alone divides by the length. How a linear layer and the
table of words are stored is the caller's choice, given as two functions. The graph is the plain export:
onnxruntime's fused attention operators were measured to be slower on CPUs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .onnx_graph import FLOAT, INT64, GraphBuilder

MASKED = np.float32(-1e9)


@dataclass(frozen=True)
class Shape:
    hidden: int
    heads: int
    layers: int
    epsilon: float
    token_types: bool


# (graph, input wire, name of the layer, name of the output wire) -> output wire
Linear = Callable[[GraphBuilder, str, str, str], str]
# (graph, wire of ids, name of the output wire) -> [batch, time, hidden]
Words = Callable[[GraphBuilder, str, str], str]


class Encoder:
    """Writes the graph. `weight(name)` gives positions, types, and the scales and biases of the norms:
    `position`, `type`, `norm`, and below each layer `{layer}.attention_norm` and `{layer}.output_norm`, the
    norms as pairs. Linear layers are called `{layer}.{query,key,value,attention,up,down}`."""

    def __init__(
        self, graph: GraphBuilder, shape: Shape, weight: Callable[[str], object], linear: Linear, words: Words
    ):
        self.graph, self.shape, self.weight, self.linear, self.words = graph, shape, weight, linear, words

    def pooled(self, output: str) -> str:
        """Adds everything from the inputs to the wire `output`."""
        graph = self.graph
        graph.input("input_ids", INT64, ["batch", "time"])
        graph.input("attention_mask", INT64, ["batch", "time"])
        states = self._embeddings()
        mask = graph.node("Cast", ["attention_mask"], "mask", to=FLOAT)
        between = graph.node("Unsqueeze", [mask, self._integers("head_and_query_axes", 1, 2)], "mask.keys")
        hidden = graph.node("Sub", [self._number("one", 1), between], "mask.hidden")
        bias = graph.node("Mul", [hidden, self._number("masked", MASKED)], "mask.bias")
        for layer in range(self.shape.layers):
            states = self._layer(layer, states, bias)
        axis = self._integers("time_axis", 1)
        weights = graph.node("Unsqueeze", [mask, self._integers("last_axis", -1)], "mask.tokens")
        kept = graph.node("Mul", [states, weights], "pool.kept")
        total = graph.node("ReduceSum", [kept, axis], "pool.sum", keepdims=0)
        count = graph.node("ReduceSum", [weights, axis], "pool.count", keepdims=0)
        return graph.node("Div", [total, count], output)

    def _integers(self, name: str, *values: int) -> str:
        return self.graph.constant(name, np.array(values, np.int64))

    def _number(self, name: str, value: float) -> str:
        return self.graph.constant(name, np.float32(value))

    def _norm(self, wire: str, name: str, output: str) -> str:
        scale, bias = self.weight(name)
        inputs = [
            wire,
            self.graph.constant(f"{name}.scale", scale),
            self.graph.constant(f"{name}.bias", bias),
        ]
        return self.graph.node("LayerNormalization", inputs, output, axis=-1, epsilon=self.shape.epsilon)

    def _embeddings(self) -> str:
        graph = self.graph
        words = self.words(graph, "input_ids", "words")
        length = graph.node("Shape", ["input_ids"], "length", start=1, end=2)
        first, axis = self._integers("first", 0), self._integers("row_axis", 0)
        positions, types = self.weight("position"), self.weight("type")
        if self.shape.token_types:
            graph.input("token_type_ids", INT64, ["batch", "time"])
            rows = graph.node("Gather", [graph.constant("type", types), "token_type_ids"], "types")
            words = graph.node("Add", [words, rows], "words_and_types")
        else:
            positions = positions + types[:1]
        table = graph.constant("position", positions)
        here = graph.node("Slice", [table, first, length, axis], "positions")
        return self._norm(graph.node("Add", [words, here], "embedded"), "norm", "states")

    def _layer(self, layer: int, states: str, bias: str) -> str:
        graph, shape = self.graph, self.shape

        def named(part):
            return f"{layer}.{part}"

        def linear(wire, part):
            return self.linear(graph, wire, named(part), named(f"{part}.out"))

        split = self._integers("split", 0, 0, shape.heads, shape.hidden // shape.heads)
        parts = {}
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            by_head = graph.node("Reshape", [linear(states, part), split], named(f"{part}.heads"))
            parts[part] = graph.node("Transpose", [by_head], named(f"{part}.ready"), perm=order)
        products = graph.node("MatMul", [parts["query"], parts["key"]], named("products"))
        scale = self._number("scale", (shape.hidden // shape.heads) ** -0.5)
        scaled = graph.node("Mul", [products, scale], named("scaled"))
        masked = graph.node("Add", [scaled, bias], named("masked"))
        attention = graph.node("Softmax", [masked], named("weights"), axis=-1)
        context = graph.node("MatMul", [attention, parts["value"]], named("context"))
        together = graph.node("Transpose", [context], named("context.time"), perm=[0, 2, 1, 3])
        joined = graph.node(
            "Reshape", [together, self._integers("join", 0, 0, shape.hidden)], named("context.joined")
        )
        attended = graph.node("Add", [linear(joined, "attention"), states], named("attended"))
        states = self._norm(attended, named("attention_norm"), named("attention_normed"))
        active = self._gelu(linear(states, "up"), named("gelu"))
        added = graph.node("Add", [linear(active, "down"), states], named("added"))
        return self._norm(added, named("output_norm"), named("states"))

    def _gelu(self, wire: str, name: str) -> str:
        """x * (1 + erf(x / sqrt(2))) / 2, in the form that onnxruntime recognises and fuses."""
        graph = self.graph
        divided = graph.node("Div", [wire, self._number("sqrt2", 2**0.5)], f"{name}.divided")
        error = graph.node("Erf", [divided], f"{name}.erf")
        shifted = graph.node("Add", [error, self._number("one", 1)], f"{name}.shifted")
        product = graph.node("Mul", [wire, shifted], f"{name}.product")
        return graph.node("Mul", [product, self._number("half", 0.5)], name)


def float_linear(weights: Callable[[str], tuple[np.ndarray, np.ndarray]]) -> Linear:
    """Linear layers in fp32; `weights(name)` gives a matrix [in, out] and a bias [out]."""

    def linear(graph: GraphBuilder, wire: str, name: str, output: str) -> str:
        matrix, bias = weights(name)
        product = graph.node("MatMul", [wire, graph.constant(f"{name}.weight", matrix)], f"{output}.product")
        return graph.node("Add", [product, graph.constant(f"{name}.bias", bias)], output)

    return linear


def float_words(table: np.ndarray) -> Words:
    def words(graph: GraphBuilder, ids: str, output: str) -> str:
        return graph.node("Gather", [graph.constant("word", table), ids], output)

    return words
