"""What a decoder looks like: every size and switch, from config.json or from GGUF metadata, none assumed.

    GlmForCausalLM    GLM-Edge and GLM-4-9B: two norms a layer, interleaved rotation of a part of the head
    Glm4ForCausalLM   the 0414 models: the same with two more norms, after attention and after the MLP
    LlamaForCausalLM  rotation of halves, gate and up apart

Source: transformers' modeling_glm.py, modeling_glm4.py, modeling_llama.py; llama.cpp for what GGUF files hold.
"""

import math
from dataclasses import dataclass, replace

from .errors import ImportRefused


@dataclass(frozen=True)
class Architecture:
    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    feed_width: int
    vocabulary: int
    context: int
    epsilon: float
    rotary_base: float
    """Dimensions of a head that are rotated; the others pass."""
    rotary_width: int
    """Pairs (2i, 2i+1) when interleaved, else (i, i + half)."""
    interleaved: bool
    """Frequency by which each rotated pair turns, after scaling."""
    frequencies: tuple[float, ...]
    """Of q, k and v."""
    attention_bias: bool
    output_bias: bool
    feed_bias: bool
    """gate and up are one weight, gate first."""
    fused_feed: bool
    """Norms after attention and after the MLP, before each is added."""
    post_norms: bool
    tied: bool
    end_tokens: tuple[int, ...]

    @property
    def kv_bytes_per_token(self) -> int:
        """Of a float32 cache."""
        return self.layers * 2 * self.kv_heads * self.head_width * 4

    def with_context(self, context: int) -> "Architecture":
        if not 2 <= context <= self.context:
            raise ImportRefused(f"--context-length has to be between 2 and the model's {self.context}")
        return replace(self, context=context)


SUPPORTED = ("GlmForCausalLM", "Glm4ForCausalLM", "LlamaForCausalLM")
_ELSEWHERE = {
    "ChatGLMModel": "it has the layout of the first GLM-4 release: import the repository whose name ends in "
    "-hf (such as glm-4-9b-chat-hf), which holds the same weights as GlmForCausalLM, or a GGUF file",
    "ChatGLMForConditionalGeneration": "it has the layout of the first GLM-4 release: import the repository "
    "whose name ends in -hf (such as glm-4-9b-chat-hf), or a GGUF file",
}


def from_config(config: dict, file: str) -> Architecture:
    """@raises ImportRefused for another architecture, a missing key, or a feature that the graph has not"""
    names = config.get("architectures") or []
    name = next((one for one in names if one in SUPPORTED), None)
    if name is None:
        found = ", ".join(names) or "no architecture"
        advice = next((_ELSEWHERE[one] for one in names if one in _ELSEWHERE), None)
        raise ImportRefused(
            f"{file}: {found} can't be imported"
            + (f": {advice}" if advice else f"; it has to be one of {', '.join(SUPPORTED)}")
        )

    def need(key: str):
        value = config.get(key)
        if value is None:
            raise ImportRefused(f"{file}: {key} is missing; take the config.json of the model's repository")
        return value

    activation = config.get("hidden_act", "silu")
    if activation != "silu":
        raise ImportRefused(f"{file}: hidden_act is {activation}; only silu can be imported")
    if config.get("quantization_config"):
        raise ImportRefused(
            f"{file}: the weights are quantised for another runtime; import the bf16 or fp16 checkpoint"
        )
    llama = name == "LlamaForCausalLM"
    heads = need("num_attention_heads")
    head_width = config.get("head_dim") or need("hidden_size") // heads
    rope = config.get("rope_parameters") or {}
    partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if partial is None:
        # GlmConfig and Glm4Config say one half where the file is silent.
        partial = 1.0 if llama else 0.5
    rotary_width = int(head_width * partial)
    base = float(rope.get("rope_theta", config.get("rope_theta", 10000.0)))
    bias = bool(config.get("attention_bias", False))
    return Architecture(
        name=name,
        layers=need("num_hidden_layers"),
        width=need("hidden_size"),
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=head_width,
        feed_width=need("intermediate_size"),
        vocabulary=need("vocab_size"),
        context=need("max_position_embeddings"),
        epsilon=float(need("rms_norm_eps")),
        rotary_base=base,
        rotary_width=rotary_width,
        interleaved=not llama,
        frequencies=frequencies_of(base, rotary_width, config.get("rope_scaling") or rope, file),
        attention_bias=bias,
        # In Llama the switch is for the output projection too, in GLM never.
        output_bias=bias and llama,
        feed_bias=bool(config.get("mlp_bias", False)) and llama,
        fused_feed=not llama,
        post_norms=name == "Glm4ForCausalLM",
        tied=bool(config.get("tie_word_embeddings", False)),
        end_tokens=as_ids(config.get("eos_token_id")),
    )


def as_ids(value) -> tuple[int, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (int(value),)


def frequencies_of(base: float, width: int, scaling: dict, file: str) -> tuple[float, ...]:
    """Per pair, as transformers' modeling_rope_utils.py: default, linear and llama3."""
    plain = [base ** (-pair / width) for pair in range(0, width, 2)]
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return tuple(plain)
    if kind == "linear":
        return tuple(frequency / scaling["factor"] for frequency in plain)
    if kind == "llama3":
        return tuple(_llama3(frequency, scaling) for frequency in plain)
    raise ImportRefused(
        f"{file}: rope_scaling of type {kind} can't be imported (default, linear, llama3 can)"
    )


def _llama3(frequency: float, scaling: dict) -> float:
    original = scaling["original_max_position_embeddings"]
    low, high, factor = (scaling[key] for key in ("low_freq_factor", "high_freq_factor", "factor"))
    length = 2 * math.pi / frequency
    if length < original / high:
        return frequency
    if length > original / low:
        return frequency / factor
    smooth = (original / length - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency
