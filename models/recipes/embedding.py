"""The reference around an encoder's graph: text to ids to embedding, and what the graph computes on the way."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import bert
from .onnx_graph import FLOAT, GraphBuilder

BATCH_TOKENS = 2048


def session_of(path: Path, threads: int = 0):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options)


class Tokens:
    """A tokenizer.json, cut at `limit` tokens with the first and last control token kept."""

    def __init__(self, text: str, limit: int, prefix: str = ""):
        from tokenizers import Tokenizer

        self.tokenizer, self.prefix = Tokenizer.from_str(text), prefix
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(limit)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(self.prefix + text).ids


def feeds(rows: list[list[int]], token_types: bool, pad: int) -> dict[str, np.ndarray]:
    """Rows padded to the longest."""
    ids = np.full((len(rows), max(map(len, rows))), pad, np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    feed = {"input_ids": ids, "attention_mask": mask}
    return feed | {"token_type_ids": np.zeros_like(ids)} if token_types else feed


def run(session, rows: list[list[int]], pad: int) -> np.ndarray:
    """The first output for each row of ids, in batches of like length."""
    token_types = any(entry.name == "token_type_ids" for entry in session.get_inputs())
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    results: list = [None] * len(rows)
    while order:
        longest = len(rows[order[-1]])
        batch = order[-max(1, BATCH_TOKENS // longest) :]
        del order[-len(batch) :]
        output = session.run(None, feeds([rows[index] for index in batch], token_types, pad))[0]
        for index, values in zip(batch, output):
            results[index] = values
    return np.stack(results)


def normalized(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def activations(
    shape: bert.Shape,
    other: Callable[[str], object],
    weights: Callable[[str], tuple[np.ndarray, np.ndarray]],
    table: np.ndarray,
    rows: list[list[int]],
) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """What goes into the linear layers of the fp32 graph: the layers that each wire feeds, and for each wire
    its values [tokens of all rows, channels]."""
    layers: dict[str, list[str]] = {}
    graph, plain = GraphBuilder("tapped"), bert.float_linear(weights)

    def tapped(graph: GraphBuilder, wire: str, name: str, output: str) -> str:
        layers.setdefault(wire, []).append(name)
        return plain(graph, wire, name, output)

    bert.Encoder(graph, shape, other, tapped, bert.float_words(table)).pooled("pooled")
    for wire in layers:
        graph.output(wire, FLOAT, None)
    with tempfile.TemporaryDirectory() as folder:
        graph.save(Path(folder) / "tapped.onnx")
        session = session_of(Path(folder) / "tapped.onnx")
    values = {wire: [] for wire in layers}
    for row in rows:
        outputs = session.run(list(layers), feeds([row], shape.token_types, 0))
        for wire, output in zip(layers, outputs):
            values[wire].append(output[0])
    return layers, {wire: np.concatenate(parts) for wire, parts in values.items()}
