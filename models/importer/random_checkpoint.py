"""Checkpoints of every architecture with random weights, a few hundred kilobytes each, in each form that is read.

models/build random-checkpoint FOLDER ARCHITECTURE writes one, for whoever tests what runs the package.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np

VOCABULARY, WIDTH, FEED, LAYERS = 320, 64, 96, 2
_SHARED = {
    "hidden_size": WIDTH,
    "intermediate_size": FEED,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 256,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "eos_token_id": [257, 259],
}
CONFIGS = {
    "glm-edge": {
        **_SHARED,
        "architectures": ["GlmForCausalLM"],
        "partial_rotary_factor": 1.0,
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
    # Wider than hidden size ÷ heads, half of it rotated, biases, a head of its own.
    "glm-4-9b": {
        **_SHARED,
        "architectures": ["GlmForCausalLM"],
        "head_dim": 32,
        "partial_rotary_factor": 0.5,
        "attention_bias": True,
        "tie_word_embeddings": False,
        "rms_norm_eps": 1.5625e-07,
    },
    "glm4-0414": {
        **_SHARED,
        "architectures": ["Glm4ForCausalLM"],
        "head_dim": 32,
        "partial_rotary_factor": 0.5,
        "attention_bias": True,
        "tie_word_embeddings": False,
    },
    "llama": {**_SHARED, "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True},
    "llama-3": {
        **_SHARED,
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": False,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
}
CONTROLS = ["[gMASK]", "<|endoftext|>", "<sop>", "<|user|>", "<|assistant|>", "<|system|>", "<|observation|>"]
TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def shapes_of(config: dict) -> dict[str, tuple[int, ...]]:
    head = config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    llama = config["architectures"] == ["LlamaForCausalLM"]
    shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH), "model.norm.weight": (WIDTH,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (VOCABULARY, WIDTH)
    feed = {"gate_proj": FEED, "up_proj": FEED} if llama else {"gate_up_proj": 2 * FEED}
    norms = ["input_layernorm", "post_attention_layernorm"]
    if config["architectures"] == ["Glm4ForCausalLM"]:
        norms += ["post_self_attn_layernorm", "post_mlp_layernorm"]
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes |= {f"{prefix}{norm}.weight": (WIDTH,) for norm in norms}
        for name, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            shapes[f"{prefix}self_attn.{name}.weight"] = (rows, WIDTH)
            if config.get("attention_bias"):
                shapes[f"{prefix}self_attn.{name}.bias"] = (rows,)
        shapes[f"{prefix}self_attn.o_proj.weight"] = (WIDTH, queries)
        if config.get("attention_bias") and llama:
            shapes[f"{prefix}self_attn.o_proj.bias"] = (WIDTH,)
        shapes |= {f"{prefix}mlp.{name}.weight": (rows, WIDTH) for name, rows in feed.items()}
        shapes[f"{prefix}mlp.down_proj.weight"] = (WIDTH, FEED)
        if config.get("mlp_bias"):
            shapes |= {
                f"{prefix}mlp.{name}.bias": (rows,) for name, rows in (*feed.items(), ("down_proj", WIDTH))
            }
    return shapes


def tensors_of(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes_of(config).items():
        centre, spread = (1, 0.1) if "norm" in name else (0, 0.15)
        tensors[name] = (centre + rng.standard_normal(shape) * spread).astype(np.float32)
    return tensors


def to_type(tensors: dict[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    """The values that a file of that type holds, as float32."""
    if kind == "BF16":
        return {
            name: (_bf16(value).astype(np.uint32) << 16).view(np.float32) for name, value in tensors.items()
        }
    return {
        name: value.astype({"F16": np.float16, "F32": np.float32}[kind]).astype(np.float32)
        for name, value in tensors.items()
    }


def _bf16(value: np.ndarray) -> np.ndarray:
    return (value.view(np.uint32) >> 16).astype(np.uint16)


def write_safetensors(file: Path, tensors: dict[str, np.ndarray], kind: str) -> None:
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, value in tensors.items():
        blob = (
            _bf16(value) if kind == "BF16" else value.astype({"F16": "<f2", "F32": "<f4"}[kind])
        ).tobytes()
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def tokenizer() -> tuple[dict, dict]:
    """A token per byte, then the control tokens: byte-level BPE without a merge."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    added = [
        {"id": 256 + index, "content": content, "special": True, "normalized": False}
        for index, content in enumerate(CONTROLS)
    ]
    vocabulary = {name: byte for byte, name in enumerate(byte_names())}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": False}
    whole = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": model,
    }
    return whole, {"eos_token": "<|endoftext|>", "chat_template": TEMPLATE}


def byte_names() -> list[str]:
    """GPT-2's names of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def write_folder(
    folder: Path, config: dict, tensors: dict[str, np.ndarray], kind: str = "F32", shards: int = 1
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name, value in zip(("tokenizer.json", "tokenizer_config.json"), tokenizer()):
        (folder / name).write_text(json.dumps(value))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, kind)
        return
    names, places = list(tensors), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        own = names[shard::shards]
        places |= dict.fromkeys(own, file)
        write_safetensors(folder / file, {name: tensors[name] for name in own}, kind)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


_GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "post_self_attn_layernorm": "post_attention_norm",
    "post_mlp_layernorm": "post_ffw_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_tensors(config: dict, tensors: dict[str, np.ndarray], fused: bool) -> dict[str, np.ndarray]:
    """As llama.cpp's convert_hf_to_gguf.py names and permutes them."""
    found = {}
    for name, value in tensors.items():
        stem, _, kind = name.rpartition(".")
        block = ""
        if stem.startswith("model.layers."):
            _, _, layer, stem = stem.split(".", 3)
            block = f"blk.{layer}."
        if config["architectures"] == ["LlamaForCausalLM"] and stem.endswith(("q_proj", "k_proj")):
            heads = config["num_attention_heads" if "q_proj" in stem else "num_key_value_heads"]
            value = value.reshape(heads, 2, -1, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
        found[f"{block}{_GGUF_NAMES[stem]}.{kind}"] = value
    if not fused:
        return found
    for name in [name for name in found if ".attn_q." in name]:
        parts = [found.pop(name.replace("attn_q", f"attn_{part}")) for part in "qkv"]
        found[name.replace("attn_q", "attn_qkv")] = np.concatenate(parts)
    return found


def write_gguf(
    file: Path,
    config: dict,
    tensors: dict[str, np.ndarray],
    kind: str,
    fused: bool = False,
    blocks: dict[str, np.ndarray] | None = None,
) -> None:
    """@param kind: type of the matrices, by gguf's name, such as Q8_0; vectors are F32 as in real files
    @param blocks: bytes of matrices by their name in the file, for types that the package can read and not write"""
    import gguf

    names = {"GlmForCausalLM": "chatglm", "Glm4ForCausalLM": "glm4", "LlamaForCausalLM": "llama"}
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, names[config["architectures"][0]])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(int(config["head_dim"] * config.get("partial_rotary_factor", 1.0)))
    tokens = [*byte_names(), *CONTROLS]
    tokens += [f"[PAD{index}]" for index in range(len(tokens), VOCABULARY)]
    kinds = [
        3 if 256 <= index < 256 + len(CONTROLS) else 1 if index < 256 else 5 for index in range(VOCABULARY)
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("chatglm-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(257)
    writer.add_chat_template(TEMPLATE)
    quantization = gguf.GGMLQuantizationType[kind]
    for name, value in gguf_tensors(config, tensors, fused).items():
        if value.ndim == 1:
            writer.add_tensor(name, value)
        else:
            raw = blocks[name] if blocks else gguf.quantize(value, quantization)
            writer.add_tensor(name, raw, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Beside the checkpoint, what the model makes of a text: expected.json."""
    from .reference import logits_of

    target, config = Path(sys.argv[1]), CONFIGS[sys.argv[2]]
    tensors = tensors_of(config)
    write_folder(target, config, tensors)
    prompt, continuation = [256, 258, 259, 10, 72, 105, 260, 10], [80, 81, 300, 82]
    logits = logits_of(config, tensors, prompt + continuation)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    sums = [float(logprobs[len(prompt) - 1 + at, token]) for at, token in enumerate(continuation)]
    expected = {"prompt": prompt, "continuation": continuation, "logprob": sum(sums)}
    (target / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
