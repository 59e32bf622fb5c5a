"""GGUF metadata -> Architecture. Key names are those of llama.cpp's gguf-py/gguf/constants.py."""

from .architecture import Architecture, frequencies_of
from .errors import ImportRefused

NAMES = {"chatglm": "GlmForCausalLM", "glm4": "Glm4ForCausalLM", "llama": "LlamaForCausalLM"}


def from_gguf(fields: dict, tensor_names: frozenset[str], file: str) -> Architecture:
    """@param fields: values by key; @raises ImportRefused for another architecture or a missing key"""
    kind = fields.get("general.architecture")
    if kind not in NAMES:
        raise ImportRefused(
            f"{file}: architecture {kind} can't be imported; it has to be one of {', '.join(NAMES)}"
        )

    def need(key: str):
        value = fields.get(f"{kind}.{key}")
        if value is None:
            raise ImportRefused(
                f"{file}: the key {kind}.{key} is missing; the file is incomplete, fetch it again"
            )
        return value

    def optional(key: str, default):
        value = fields.get(f"{kind}.{key}")
        return default if value is None else value

    if optional("expert_count", 0):
        raise ImportRefused(f"{file}: a mixture of experts can't be imported")
    heads = need("attention.head_count")
    head_width = optional("attention.key_length", need("embedding_length") // heads)
    rotary_width = optional("rope.dimension_count", head_width)
    base = float(optional("rope.freq_base", 10000.0))
    scaling = {
        "type": optional("rope.scaling.type", "default"),
        "factor": optional("rope.scaling.factor", 1.0),
    }
    if scaling["type"] == "none":
        scaling = {}
    if "rope_freqs.weight" in tensor_names:
        raise ImportRefused(
            f"{file}: rope_freqs.weight (scaled rotation of Llama 3.1) can't be imported from GGUF; "
            "import the safetensors checkpoint"
        )
    tokens = fields.get("tokenizer.ggml.tokens")
    return Architecture(
        name=NAMES[kind],
        layers=need("block_count"),
        width=need("embedding_length"),
        heads=heads,
        kv_heads=optional("attention.head_count_kv", heads),
        head_width=head_width,
        feed_width=need("feed_forward_length"),
        vocabulary=optional("vocab_size", len(tokens) if tokens else 0),
        context=need("context_length"),
        epsilon=float(need("attention.layer_norm_rms_epsilon")),
        rotary_base=base,
        rotary_width=rotary_width,
        # llama.cpp permutes the rows of q and k of Llama files for rotation of neighbours.
        interleaved=True,
        frequencies=frequencies_of(base, rotary_width, scaling, file),
        attention_bias="blk.0.attn_q.bias" in tensor_names or "blk.0.attn_qkv.bias" in tensor_names,
        output_bias="blk.0.attn_output.bias" in tensor_names,
        feed_bias="blk.0.ffn_gate.bias" in tensor_names,
        fused_feed=kind != "llama",
        post_norms=kind == "glm4",
        tied="output.weight" not in tensor_names,
        end_tokens=end_tokens_of(fields),
    )


def end_tokens_of(fields: dict) -> tuple[int, ...]:
    keys = ("eos_token_id", "eot_token_id", "eom_token_id")
    found = [fields.get(f"tokenizer.ggml.{key}") for key in keys]
    return tuple(dict.fromkeys(one for one in found if one is not None))
