"""Chinese NER: Baidu LAC 2.1.2 (bidirectional GRU + CRF), Paddle parameters written as ONNX.

    word_ids [batch, time] int64, lengths [batch] int32
      embedding (fp16 table)        [batch, time, 128]
      2 bidirectional GRU layers    [time, batch, 256]
      linear                        emissions [batch, time, 49]

The CRF is not in the graph: its weights, the tags, the vocabulary and the segmenter's words are in
pipeline.json, and whoever runs the model does the Viterbi search (lac.py here is the reference).
Source: https://github.com/baidu/lac, Apache-2.0.
"""

import math
import struct
from pathlib import Path

import numpy as np

from .json_files import write_json
from .onnx_graph import FLOAT, INT32, INT64, GraphBuilder
from .sources import read_members

HIDDEN = 128
LAYERS = 2
ENTITY_TYPES = ["PER", "LOC", "ORG", "TIME"]
_MODEL, _CONF = "LAC/lac_model/model/", "LAC/lac_model/conf/"
_PARAMETERS = ["word_emb", "crfw", "fc_4.w_0", "fc_4.b_0"] + [
    f"{kind}_{index}.{part}_0" for kind in ("fc", "gru") for index in range(2 * LAYERS) for part in "wb"
]
_DICTIONARIES = ["word.dic", "tag.dic", "q2b.dic", "small_seg.dic"]


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at


def parse_paddle_tensor(content: bytes) -> np.ndarray:
    """A float32 tensor as Paddle saves it: three header integers, a protobuf TensorDesc whose field 2 (tag
    0x10) repeats the dimensions, then the numbers."""
    start = 4 + 8 + 4
    (size,) = struct.unpack_from("<i", content, start)
    at, end, dimensions = start + 4, start + 4 + size, []
    while at < end:
        tag, value = content[at], None
        value, at = _varint(content, at + 1)
        if tag == 0x10:
            dimensions.append(value)
    return np.frombuffer(content, np.float32, offset=end).reshape(dimensions)


def gru_weights(parameters: dict[str, np.ndarray], index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W [3H, input], R [3H, H] and B [6H] of one direction, gates in ONNX's order (update, reset, candidate).

    Paddle's update gate u keeps the candidate where ONNX's z keeps the old state: z = 1 - u, and as
    1 - sigmoid(x) = sigmoid(-x) the update rows change sign. The recurrent block is stored flat: [H, 2H]
    for both gates, then [H, H] for the candidate.
    """
    signs = np.repeat(np.array([-1, 1, 1], np.float32), HIDDEN)
    weights = parameters[f"fc_{index}.w_0"].T * signs[:, None]
    bias = (parameters[f"fc_{index}.b_0"].ravel() + parameters[f"gru_{index}.b_0"].ravel()) * signs
    flat = parameters[f"gru_{index}.w_0"].ravel()
    gates, candidate = np.split(flat, [2 * HIDDEN * HIDDEN])
    recurrent = np.concatenate([gates.reshape(HIDDEN, 2 * HIDDEN).T, candidate.reshape(HIDDEN, HIDDEN).T])
    return weights, recurrent * signs[:, None], np.concatenate([bias, np.zeros(3 * HIDDEN, np.float32)])


def write_onnx(parameters: dict[str, np.ndarray], tags: int, path: Path) -> None:
    graph = GraphBuilder("zh_ner")
    words = graph.input("word_ids", INT64, ["batch", "time"])
    lengths = graph.input("lengths", INT32, ["batch"])
    table = graph.constant("embedding.fp16", parameters["word_emb"].astype(np.float16))
    rows = graph.node("Gather", [table, words], "rows")
    embedded = graph.node("Cast", [rows], "embedded", to=FLOAT)
    states = graph.node("Transpose", [embedded], "layer0", perm=[1, 0, 2])
    flat = graph.constant("flat", np.array([0, 0, 2 * HIDDEN], np.int64))
    for layer in range(LAYERS):
        directions = [gru_weights(parameters, 2 * layer + direction) for direction in (0, 1)]
        w, r, b = (
            graph.constant(f"{name}{layer}", np.stack(part)) for name, part in zip("WRB", zip(*directions))
        )
        both = graph.node(
            "GRU", [states, w, r, b, lengths], f"gru{layer}", hidden_size=HIDDEN, direction="bidirectional"
        )
        swapped = graph.node("Transpose", [both], f"swapped{layer}", perm=[0, 2, 1, 3])
        states = graph.node("Reshape", [swapped, flat], f"layer{layer + 1}")
    scores = graph.node("MatMul", [states, graph.constant("linear", parameters["fc_4.w_0"])], "scores")
    shifted = graph.node(
        "Add", [scores, graph.constant("linear_bias", parameters["fc_4.b_0"].ravel())], "shifted"
    )
    graph.node(
        "Transpose", [shifted], graph.output("emissions", FLOAT, ["batch", "time", tags]), perm=[1, 0, 2]
    )
    graph.save(path)


def _pairs(content: bytes) -> list[list[str]]:
    rows = (line.split("\t") for line in content.decode("utf8").split("\n"))
    return [row for row in rows if len(row) == 2]


def pipeline_of(crf: np.ndarray, dictionaries: dict[str, bytes]) -> dict:
    """Everything around the graph. Rows 0 and 1 of the CRF weights are the start and end scores."""
    # tag.dic names some ids twice; the later name (PER for nr) is the entity.
    tags = {int(index): tag for index, tag in _pairs(dictionaries["tag.dic"])}
    entries = [
        line.split(" ") for line in dictionaries["small_seg.dic"].decode("utf8").splitlines() if line.strip()
    ]
    return {
        "kind": "lac-tagger",
        "tags": [tags[index] for index in range(len(tags))],
        "entityTypes": {name: name for name in ENTITY_TYPES},
        "unknownWord": "OOV",
        "inputs": {"ids": "word_ids", "lengths": "lengths"},
        "output": "emissions",
        "crf": {"start": crf[0].tolist(), "end": crf[1].tolist(), "transitions": crf[2:].tolist()},
        "replace": dict(_pairs(dictionaries["q2b.dic"])),
        "segmenter": {
            "words": [word for word, _ in entries],
            "logTotal": math.log(sum(int(count) for _, count in entries)),
        },
        "vocab": {word: int(index) for index, word in _pairs(dictionaries["word.dic"])},
    }


def build(folder: Path) -> None:
    """Writes model.onnx and pipeline.json to `folder`."""
    members = [_MODEL + name for name in _PARAMETERS] + [_CONF + name for name in _DICTIONARIES]
    contents = dict(zip(_PARAMETERS + _DICTIONARIES, read_members("LAC", *members)))
    parameters = {name: parse_paddle_tensor(contents[name]) for name in _PARAMETERS}
    pipeline = pipeline_of(parameters["crfw"], contents)
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(parameters, len(pipeline["tags"]), folder / "model.onnx")
    write_json(pipeline, folder / "pipeline.json")
