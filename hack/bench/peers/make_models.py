"""Makes what the serving benchmark sends and what it sends it to, in the folder that is its argument:

    tiny/model.onnx, minilm/model.onnx          512 → 128 → 3, and all-MiniLM-L6-v2 in fp32 with mean pooling
    tiny.jsonl, minilm.jsonl, mixed.jsonl       requests of the Open Inference Protocol, one a line
    tiny.expected.json, ...                     the outputs of the first of them, by onnxruntime itself

Prepared once, so that every server gets the same bytes.
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from recipes import minilm
from recipes.bert import float_linear, float_words
from recipes.onnx_graph import FLOAT, GraphBuilder

SEED = 20261125
CHECKED = 32
CLS, SEP, FIRST_WORD, LAST_WORD = 101, 102, 1996, 30521


def make_tiny(path: Path) -> None:
    numbers = np.random.default_rng(SEED)
    graph = GraphBuilder("tiny")
    x = graph.input("x", FLOAT, ["batch", 512])
    wires = [x]
    for name, (rows, columns) in {"hidden": (512, 128), "logits": (128, 3)}.items():
        weight = numbers.standard_normal((rows, columns), np.float32) / np.float32(math.sqrt(rows))
        weight = graph.constant(f"{name}.weight", weight)
        bias = graph.constant(f"{name}.bias", np.zeros(columns, np.float32))
        wires.append(graph.node("Gemm", [wires[-1], weight, bias], name))
        if name == "hidden":
            wires.append(graph.node("Relu", [wires[-1]], "active"))
    graph.node("Softmax", [wires[-1]], "y", axis=-1)
    graph.output("y", FLOAT, ["batch", 3])
    graph.save(path)


def make_minilm(path: Path) -> None:
    weights = minilm.Weights()
    minilm.write_onnx(weights, float_linear(weights.linear), float_words(weights.words), path)


def tiny_requests(numbers: random.Random) -> list[dict]:
    def one() -> dict:
        values = [round(numbers.gauss(0, 1), 4) for _ in range(512)]
        return {"inputs": [{"name": "x", "shape": [1, 512], "datatype": "FP32", "data": values}]}

    return [one() for _ in range(64)]


def text_requests(numbers: random.Random, lengths: list[int]) -> list[dict]:
    def one(length: int) -> dict:
        ids = [CLS, *(numbers.randint(FIRST_WORD, LAST_WORD) for _ in range(length - 2)), SEP]
        values = {"input_ids": ids, "attention_mask": [1] * length, "token_type_ids": [0] * length}
        return {
            "inputs": [
                {"name": name, "shape": [1, length], "datatype": "INT64", "data": part}
                for name, part in values.items()
            ]
        }

    return [one(length) for length in lengths]


def mixed_lengths(numbers: random.Random) -> list[int]:
    """As sentences are: median 24 tokens, a long tail, mean about 30."""
    return [min(128, max(4, round(numbers.lognormvariate(math.log(24), 0.65)))) for _ in range(256)]


def write(folder: Path, name: str, model: str, requests: list[dict]) -> None:
    (folder / f"{name}.jsonl").write_text(
        "".join(f"{json.dumps(request, separators=(',', ':'))}\n" for request in requests), encoding="utf8"
    )
    session = onnxruntime.InferenceSession(folder / model / "model.onnx")
    types = {"FP32": np.float32, "INT64": np.int64}
    outputs = []
    for request in requests[:CHECKED]:
        feeds = {
            part["name"]: np.array(part["data"], types[part["datatype"]]).reshape(part["shape"])
            for part in request["inputs"]
        }
        outputs.append([float(value) for value in session.run(None, feeds)[0].ravel()])
    (folder / f"{name}.expected.json").write_text(json.dumps(outputs), encoding="utf8")


def main() -> None:
    folder = Path(sys.argv[1])
    for name, make in {"tiny": make_tiny, "minilm": make_minilm}.items():
        (folder / name).mkdir(exist_ok=True)
        make(folder / name / "model.onnx")
    numbers = random.Random(SEED)
    write(folder, "tiny", "tiny", tiny_requests(numbers))
    write(folder, "minilm", "minilm", text_requests(numbers, [32] * 64))
    write(folder, "mixed", "minilm", text_requests(numbers, mixed_lengths(numbers)))


main()
