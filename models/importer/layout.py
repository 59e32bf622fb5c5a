"""Where a checkpoint keeps each weight: its tensor's name, the rows of it, and the shape that the whole has to have."""

from dataclasses import dataclass

from .architecture import Architecture


@dataclass(frozen=True)
class Place:
    name: str
    shape: tuple[int, ...]
    """First and last row of a weight that shares its tensor with others."""
    rows: tuple[int, int] | None = None

    @property
    def row_count(self) -> int:
        return self.shape[0] if self.rows is None else self.rows[1] - self.rows[0]


HUGGING_FACE = {
    "embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "head": "lm_head",
    "attention_norm": "model.layers.{layer}.input_layernorm",
    "feed_norm": "model.layers.{layer}.post_attention_layernorm",
    "post_attention_norm": "model.layers.{layer}.post_self_attn_layernorm",
    "post_feed_norm": "model.layers.{layer}.post_mlp_layernorm",
    "query": "model.layers.{layer}.self_attn.q_proj",
    "key": "model.layers.{layer}.self_attn.k_proj",
    "value": "model.layers.{layer}.self_attn.v_proj",
    "attention_output": "model.layers.{layer}.self_attn.o_proj",
    "gate": "model.layers.{layer}.mlp.gate_proj",
    "up": "model.layers.{layer}.mlp.up_proj",
    "gate_up": "model.layers.{layer}.mlp.gate_up_proj",
    "down": "model.layers.{layer}.mlp.down_proj",
}
GGUF = {
    "embedding": "token_embd",
    "final_norm": "output_norm",
    "head": "output",
    "attention_norm": "blk.{layer}.attn_norm",
    "feed_norm": "blk.{layer}.ffn_norm",
    "post_attention_norm": "blk.{layer}.post_attention_norm",
    "post_feed_norm": "blk.{layer}.post_ffw_norm",
    "query": "blk.{layer}.attn_q",
    "key": "blk.{layer}.attn_k",
    "value": "blk.{layer}.attn_v",
    "query_key_value": "blk.{layer}.attn_qkv",
    "attention_output": "blk.{layer}.attn_output",
    "gate": "blk.{layer}.ffn_gate",
    "up": "blk.{layer}.ffn_up",
    "gate_up": "blk.{layer}.ffn_up",
    "down": "blk.{layer}.ffn_down",
}
ATTENTION = ("query", "key", "value")
FEED = ("gate", "up")
LINEAR = (*ATTENTION, "attention_output", *FEED, "down")


class Layout:
    """Answers for one architecture in one of the two naming schemes."""

    def __init__(self, sizes: Architecture, names: dict[str, str], fused_attention: bool):
        self.sizes, self.names, self.fused_attention = sizes, names, fused_attention

    def norms(self) -> tuple[str, ...]:
        both = ("attention_norm", "feed_norm")
        return (*both, "post_attention_norm", "post_feed_norm") if self.sizes.post_norms else both

    def weight(self, role: str, layer: int | None = None) -> Place:
        group, rows = self._group(role)
        name = f"{self.names[group].format(layer=layer)}.weight"
        sizes = self.sizes
        if role.endswith("norm"):
            return Place(name, (sizes.width,))
        columns = {"attention_output": sizes.heads * sizes.head_width, "down": sizes.feed_width}
        return Place(name, (self._rows_of(group), columns.get(role, sizes.width)), rows)

    def bias(self, role: str, layer: int) -> Place | None:
        """None for a weight without one."""
        sizes = self.sizes
        has = sizes.attention_bias if role in ATTENTION else sizes.feed_bias
        if role == "attention_output":
            has = sizes.output_bias
        if not has:
            return None
        group, rows = self._group(role)
        return Place(f"{self.names[group].format(layer=layer)}.bias", (self._rows_of(group),), rows)

    def all(self) -> list[Place]:
        """Every tensor that the graph is made of."""
        places = [self.weight("embedding"), self.weight("final_norm")]
        if not self.sizes.tied:
            places.append(self.weight("head"))
        for layer in range(self.sizes.layers):
            places += [self.weight(role, layer) for role in (*self.norms(), *LINEAR)]
            places += [bias for role in LINEAR if (bias := self.bias(role, layer))]
        return places

    def _group(self, role: str) -> tuple[str, tuple[int, int] | None]:
        """The tensor that holds a weight, and its rows in it."""
        if role in ATTENTION and self.fused_attention:
            return "query_key_value", self._slice(role, ATTENTION)
        if role in FEED and self.sizes.fused_feed:
            return "gate_up", self._slice(role, FEED)
        return role, None

    def _slice(self, role: str, parts: tuple[str, ...]) -> tuple[int, int]:
        start = sum(self._rows_of(part) for part in parts[: parts.index(role)])
        return start, start + self._rows_of(role)

    def _rows_of(self, group: str) -> int:
        sizes = self.sizes
        queries, keys = sizes.heads * sizes.head_width, sizes.kv_heads * sizes.head_width
        return {
            "embedding": sizes.vocabulary,
            "head": sizes.vocabulary,
            "query": queries,
            "key": keys,
            "value": keys,
            "query_key_value": queries + 2 * keys,
            "gate": sizes.feed_width,
            "up": sizes.feed_width,
            "gate_up": 2 * sizes.feed_width,
        }.get(group, sizes.width)
