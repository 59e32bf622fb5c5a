"""Logits of a decoder in NumPy, float64, written from Hugging Face's formulas: what the graphs are tested against.

Works on tensors by their Hugging Face names and on config.json itself, so that it shares nothing with the importer.
Source: transformers' modeling_glm.py, modeling_glm4.py and modeling_llama.py.
"""

import numpy as np


def logits_of(config: dict, tensors: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """[tokens, vocabulary] of one sequence."""
    weights = {name: value.astype(np.float64) for name, value in tensors.items()}
    kind = config["architectures"][0]
    embedding = weights["model.embed_tokens.weight"]
    hidden = embedding[ids]
    cos, sin = _rotary(config, len(ids))
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        hidden = _block(config, kind, weights, prefix, hidden, cos, sin)
    hidden = _norm(hidden, weights["model.norm.weight"], config["rms_norm_eps"])
    head = embedding if config.get("tie_word_embeddings") else weights["lm_head.weight"]
    return hidden @ head.T


def _norm(hidden, weight, epsilon):
    return weight * hidden / np.sqrt((hidden**2).mean(-1, keepdims=True) + epsilon)


def _linear(weights, name, hidden):
    result = hidden @ weights[f"{name}.weight"].T
    return result + weights[f"{name}.bias"] if f"{name}.bias" in weights else result


def _rotary(config, length):
    head_dim = config["head_dim"]
    dim = int(head_dim * config.get("partial_rotary_factor", 1.0))
    inverse = 1.0 / config["rope_theta"] ** (np.arange(0, dim, 2) / dim)
    scaling = config.get("rope_scaling") or {}
    if scaling.get("rope_type") == "linear":
        inverse = inverse / scaling["factor"]
    elif scaling.get("rope_type") == "llama3":
        inverse = _llama3(inverse, scaling)
    angles = np.outer(np.arange(length), inverse)
    return np.cos(angles), np.sin(angles)


def _llama3(inverse, scaling):
    old, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    wavelength = 2 * np.pi / inverse
    scaled = np.where(wavelength > old / low, inverse / factor, inverse)
    smooth = (old / wavelength - low) / (high - low)
    smoothed = (1 - smooth) * scaled / factor + smooth * scaled
    medium = ~(wavelength < old / high) * ~(wavelength > old / low)
    return np.where(medium, smoothed, scaled)


def _rotate(kind, states, cos, sin):
    """states [heads, tokens, head_dim]."""
    if kind == "LlamaForCausalLM":
        cos, sin = np.concatenate([cos, cos], -1), np.concatenate([sin, sin], -1)
        half = states.shape[-1] // 2
        turned = np.concatenate([-states[..., half:], states[..., :half]], -1)
        return states * cos + turned * sin
    cos, sin = np.repeat(cos, 2, -1), np.repeat(sin, 2, -1)
    rotated, passed = states[..., : cos.shape[-1]], states[..., cos.shape[-1] :]
    turned = np.stack([-rotated[..., 1::2], rotated[..., 0::2]], -1).reshape(rotated.shape)
    return np.concatenate([rotated * cos + turned * sin, passed], -1)


def _attend(config, kind, weights, prefix, hidden, cos, sin):
    tokens, head_dim = len(hidden), config["head_dim"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]

    def split(name, count):
        states = _linear(weights, f"{prefix}self_attn.{name}", hidden)
        return states.reshape(tokens, count, head_dim).transpose(1, 0, 2)

    query = _rotate(kind, split("q_proj", heads), cos, sin)
    key = _rotate(kind, split("k_proj", kv_heads), cos, sin)
    value = split("v_proj", kv_heads)
    key, value = (np.repeat(states, heads // kv_heads, 0) for states in (key, value))
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(head_dim)
    scores = np.where(np.tril(np.ones((tokens, tokens), bool)), scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (scores / scores.sum(-1, keepdims=True)) @ value
    return _linear(weights, f"{prefix}self_attn.o_proj", mixed.transpose(1, 0, 2).reshape(tokens, -1))


def _feed(kind, weights, prefix, hidden):
    if kind == "LlamaForCausalLM":
        gate = _linear(weights, f"{prefix}mlp.gate_proj", hidden)
        up = _linear(weights, f"{prefix}mlp.up_proj", hidden)
    else:
        gate, up = np.split(_linear(weights, f"{prefix}mlp.gate_up_proj", hidden), 2, -1)
    return _linear(weights, f"{prefix}mlp.down_proj", up * gate / (1 + np.exp(-gate)))


def _block(config, kind, weights, prefix, hidden, cos, sin):
    def norm(name, states):
        return _norm(states, weights[f"{prefix}{name}.weight"], config["rms_norm_eps"])

    attended = _attend(config, kind, weights, prefix, norm("input_layernorm", hidden), cos, sin)
    if kind == "Glm4ForCausalLM":
        attended = norm("post_self_attn_layernorm", attended)
    hidden = hidden + attended
    fed = _feed(kind, weights, prefix, norm("post_attention_layernorm", hidden))
    if kind == "Glm4ForCausalLM":
        fed = norm("post_mlp_layernorm", fed)
    return hidden + fed
