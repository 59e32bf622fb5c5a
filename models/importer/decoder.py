"""The graph of a decoder with a key-value cache, for batches whose rows have lengths of their own.

    input_ids [batch, tokens] int64, attention_mask [batch, total] int64, rows padded on the right,
    logits_at [batch, picked] int64: positions in `tokens` whose logits are wanted
    past_key_values.{layer}.{key,value} [batch, kv heads, past, head width] float32 (past may be 0)
      -> logits [batch, picked, vocabulary]
      -> log_normalizer [batch, picked, 1], the logarithm of the sum of their exponentials
      -> present.{layer}.{key,value} [batch, kv heads, max(past, total), head width], the next step's past
      -> appended [2 * layers, batch, kv heads, tokens, head width], what is new in present: keys, values of
         layer 0, keys, values of layer 1, ...

Who keeps the past in buffers of their own fetches `appended` and not `present`: then nothing of the size of
the cache leaves the runtime at a step.

A row has as many tokens as its mask has ones. With `past`, `tokens` is 1, or the batch is 1: then a row's next
token lies right behind its last one, wherever longer rows end. Logits of all prompt tokens would be the largest
product of the graph, and hundreds of megabytes at 2,000 tokens; hence `logits_at`.

How weights are stored is the business of `weights`: see {Weights} for fp32, int8 and int4.

CUDA has GroupQueryAttention for half precision alone: with fp32, the attention of every layer goes to the processor
and back. `half_attention` computes it in fp16, cache included, and keeps inputs and outputs as above.
"""

import math
from pathlib import Path
from typing import Protocol

import numpy as np

from recipes.onnx_graph import FLOAT, FLOAT16, INT32, INT64, MICROSOFT, GraphBuilder

from .architecture import Architecture


class Weights(Protocol):
    """Puts weights into the graph. `role` names a weight of layer `layer`, or of the whole for None."""

    def embed(self, graph: GraphBuilder, ids: str, output: str) -> str:
        """ids [batch, tokens] -> [batch, tokens, width]."""

    def norm(self, graph: GraphBuilder, role: str, layer: int | None) -> str:
        """The name of a constant [width]."""

    def linear(self, graph: GraphBuilder, wire: str, role: str, layer: int | None, output: str) -> str:
        """wire [.., columns] -> [.., rows], with its bias where it has one."""

    def head(self, graph: GraphBuilder, wire: str, output: str) -> None:
        """wire [batch, picked, width] -> [batch, picked, vocabulary], named `output`."""


def rotary_tables(frequencies: tuple[float, ...], context: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin [context, pairs] float32.

    Frequencies are rounded to fp32 and the angles then exact in fp64, with the C library's cos: numpy's
    differs between CPUs in the last bit, and a model's digest must not."""
    rounded = [float(np.float32(frequency)) for frequency in frequencies]
    tables = []
    for function in (math.cos, math.sin):
        table = np.empty((context, len(rounded)), np.float32)
        for position in range(context):
            table[position] = [function(position * frequency) for frequency in rounded]
        tables.append(table)
    return tuple(tables)


class DecoderGraph:
    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        graph: GraphBuilder,
        half_attention: bool = False,
    ):
        self.architecture, self.weights, self.graph = architecture, weights, graph
        self.half_attention = half_attention

    def write(self, path: Path, on_layer=lambda done: None) -> None:
        graph, architecture = self.graph, self.architecture
        ids = graph.input("input_ids", INT64, ["batch", "tokens"])
        mask = graph.input("attention_mask", INT64, ["batch", "total"])
        wanted = graph.input("logits_at", INT64, ["batch", "picked"])
        tables = rotary_tables(architecture.frequencies, architecture.context)
        kind = np.float16 if self.half_attention else np.float32
        rotary = [graph.constant(name, table.astype(kind)) for name, table in zip(("cos", "sin"), tables)]
        shared = [*self._lengths(mask), *rotary]
        self._appended, self._new_positions = [], self._positions_of(ids)
        state = self.weights.embed(graph, ids, "layer0")
        for layer in range(architecture.layers):
            state = self._layer(state, layer, shared)
            on_layer(layer + 1)
        self._head(state, wanted)
        shape = [2 * architecture.layers, "batch", architecture.kv_heads, "tokens", architecture.head_width]
        graph.output("appended", FLOAT, shape)
        if self.half_attention:
            new = graph.node("Concat", self._appended, "appended16", axis=0)
            graph.node("Cast", [new], "appended", to=FLOAT)
        else:
            graph.node("Concat", self._appended, "appended", axis=0)
        graph.save(path)

    def _layer(self, state: str, layer: int, shared: list[str]) -> str:
        graph = self.graph
        normed = self._norm(state, "attention_norm", layer)
        attended = self._attention(normed, layer, shared)
        if self.architecture.post_norms:
            attended = self._norm(attended, "post_attention_norm", layer)
        middle = graph.node("Add", [state, attended], f"middle{layer}")
        fed = self._feed_forward(self._norm(middle, "feed_norm", layer), layer)
        if self.architecture.post_norms:
            fed = self._norm(fed, "post_feed_norm", layer)
        return graph.node("Add", [middle, fed], f"layer{layer + 1}")

    def _norm(self, wire: str, role: str, layer: int | None = None) -> str:
        scale = self.weights.norm(self.graph, role, layer)
        output = role if layer is None else f"{role}{layer}"
        attributes = {"axis": -1, "epsilon": self.architecture.epsilon, "stash_type": 1}
        return self.graph.node("SimplifiedLayerNormalization", [wire, scale], output, **attributes)

    def _lengths(self, mask: str) -> list[str]:
        """What GroupQueryAttention wants to know: tokens per row less one, and the longest row."""
        graph = self.graph
        last = graph.constant("last_axis", np.array([-1], np.int64))
        graph.constant("first_axis", np.array([0], np.int64))
        count = graph.node("ReduceSum", [mask, last], "tokens64", keepdims=0)
        narrow = graph.node("Cast", [count], "row_tokens", to=INT32)
        one = graph.constant("one", np.array([1], np.int32))
        before_last = graph.node("Sub", [narrow, one], "tokens_before_last")
        axis = graph.constant("axis1", np.int64(1))
        total = graph.node("Gather", [graph.node("Shape", [mask], "mask_shape"), axis], "total64")
        return [before_last, graph.node("Cast", [total], "total_tokens", to=INT32)]

    def _positions_of(self, ids: str) -> str:
        """[batch, kv heads, tokens, 1]: where in `present` the tokens of this step are; behind what a row
        had, or from 0 on, with padding, when there was no past."""
        graph = self.graph
        axis, zero = graph.constant("axis1", np.int64(1)), graph.constant("zero", np.int64(0))
        tokens = graph.node("Gather", [graph.node("Shape", [ids], "ids_shape"), axis], "tokens")
        before = graph.node("Max", [graph.node("Sub", ["tokens64", tokens], "behind"), zero], "before")
        steps = graph.node("Range", [zero, tokens, axis], "steps")
        second = graph.constant("second_axis", np.array([1], np.int64))
        places = graph.node("Add", [graph.node("Unsqueeze", [before, second], "before_row"), steps], "places")
        around = graph.constant("around", np.array([1, 3], np.int64))
        shape = graph.constant("per_head", np.array([1, self.architecture.kv_heads, 1, 1], np.int64))
        return graph.node(
            "Expand", [graph.node("Unsqueeze", [places, around], "place"), shape], "new_positions"
        )

    def _attention(self, wire: str, layer: int, shared: list[str]) -> str:
        graph, sizes = self.graph, self.architecture
        query, key, value = (
            self.weights.linear(graph, wire, role, layer, f"{role}{layer}")
            for role in ("query", "key", "value")
        )
        past, present = [], []
        for part in ("key", "value"):
            shape = ["batch", sizes.kv_heads, "past", sizes.head_width]
            past.append(graph.input(f"past_key_values.{layer}.{part}", FLOAT, shape))
            shape = ["batch", sizes.kv_heads, "present", sizes.head_width]
            present.append(graph.output(f"present.{layer}.{part}", FLOAT, shape))
        mixed, new = self._attend([query, key, value, *past, *shared], present, layer)
        for name, wire in zip(present, new):
            new_rows = graph.node("GatherND", [wire, self._new_positions], f"{name}.new", batch_dims=2)
            self._appended.append(graph.node("Unsqueeze", [new_rows, "first_axis"], f"{name}.row"))
        return self.weights.linear(graph, mixed, "attention_output", layer, f"attention{layer}.output")

    def _attend(self, inputs: list[str], present: list[str], layer: int) -> tuple[str, list[str]]:
        """The mixed values [batch, tokens, width] in fp32, and the wires of `present` in attention's own precision."""
        graph, sizes = self.graph, self.architecture
        attributes = {
            "num_heads": sizes.heads,
            "kv_num_heads": sizes.kv_heads,
            "do_rotary": 1,
            "rotary_interleaved": int(sizes.interleaved),
            "scale": sizes.head_width**-0.5,
        }
        output = f"attention{layer}"
        if not self.half_attention:
            mixed = graph.node(
                "GroupQueryAttention", inputs, [output, *present], MICROSOFT, **attributes
            )
            return mixed, present
        floats, rest = inputs[:5], inputs[5:]
        halves = [graph.node("Cast", [wire], f"{wire}.half", to=FLOAT16) for wire in floats]
        # Otherwise the runtime takes them to be as long as the past, and puts them into its buffers.
        shape = ["batch", sizes.kv_heads, "present", sizes.head_width]
        new = [graph.shape(f"{name}.half", FLOAT16, shape) for name in present]
        graph.node(
            "GroupQueryAttention", [*halves, *rest], [f"{output}.half", *new], MICROSOFT, **attributes
        )
        for name, wire in zip(present, new):
            graph.node("Cast", [wire], name, to=FLOAT)
        return graph.node("Cast", [f"{output}.half"], output, to=FLOAT), new

    def _feed_forward(self, wire: str, layer: int) -> str:
        graph = self.graph
        gate = self.weights.linear(graph, wire, "gate", layer, f"gate{layer}")
        up = self.weights.linear(graph, wire, "up", layer, f"up{layer}")
        sigmoid = graph.node("Sigmoid", [gate], f"sigmoid{layer}")
        silu = graph.node("Mul", [gate, sigmoid], f"silu{layer}")
        gated = graph.node("Mul", [silu, up], f"gated{layer}")
        return self.weights.linear(graph, gated, "down", layer, f"down{layer}")

    def _head(self, wire: str, wanted: str) -> None:
        graph, sizes = self.graph, self.architecture
        last = graph.constant("last_axis", np.array([-1], np.int64))
        index = graph.node("Unsqueeze", [wanted, last], "logits_index")
        picked = graph.node("GatherND", [wire, index], "picked", batch_dims=1)
        normed = self._norm(picked, "final_norm")
        graph.output("logits", FLOAT, ["batch", "picked", sizes.vocabulary])
        self.weights.head(graph, normed, "logits")
        graph.output("log_normalizer", FLOAT, ["batch", "picked", 1])
        # Seven times faster than ReduceLogSumExp, whose sum also loses the fifth digit.
        largest = graph.node("ReduceMax", ["logits"], "largest", axes=[-1], keepdims=1)
        shifted = graph.node("Sub", ["logits", largest], "shifted")
        total = graph.node("ReduceSum", [graph.node("Exp", [shifted], "weights"), last], "weight", keepdims=1)
        graph.node("Add", [graph.node("Log", [total], "log_weight"), largest], "log_normalizer")


def pipeline_of(sizes: Architecture, end_tokens: list[int]) -> dict:
    """pipeline.json of the graph."""
    return {
        "kind": "kv-decoder",
        "layers": sizes.layers,
        "kvHeads": sizes.kv_heads,
        "headDim": sizes.head_width,
        "vocabSize": sizes.vocabulary,
        "contextLength": sizes.context,
        "eosTokenIds": end_tokens,
        "stop": [],
        "systemPrompt": None,
    }
