"""A pair of sentiment models with a gap between them, to measure a gate on: logistic regressions over characters
(edge) and over runs of one to three characters (deep), as ONNX.

    char_ids [batch, length] int64      0 pads, 1 stands for a character outside the vocabulary
      buckets of the n-grams            a character its id, a pair and a run of three a hash (as in bigrams.py)
      sum of weight * idf, over the root of the sum of idf^2, plus a bias
      softmax of half of it             probabilities [batch, 2]: negative, positive
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bigrams import SPREAD, minimize_logistic
from .onnx_graph import FLOAT, INT64, GraphBuilder
from .reviews import LABELS, Review
from .zh_sentiment import PAD, UNKNOWN, encode, vocabulary_of, write_pipeline

BUCKETS = 131_071  # a prime near 2^17, for each length of run
PENALTY = 0.25
LEAST_TEXTS = 2


@dataclass(frozen=True)
class Ngrams:
    """`idf` and `weights` (times idf) by bucket, all lengths of run one after the other."""

    vocabulary: dict[str, int]
    longest: int
    idf: np.ndarray
    weights: np.ndarray
    bias: float


def _buckets(text: str, vocabulary: dict[str, int], longest: int) -> np.ndarray:
    ids = np.array(encode(text, vocabulary), np.int64)
    found, size = [ids], len(vocabulary) + 2
    if longest > 1:
        found.append((ids[:-1] * SPREAD + ids[1:]) % BUCKETS + size)
    if longest > 2:
        mixed = (ids[:-2] * SPREAD + ids[1:-1]) * SPREAD + ids[2:]
        found.append(mixed % BUCKETS + size + BUCKETS)
    return np.concatenate(found)


def _features(texts: list[str], vocabulary: dict[str, int], longest: int, idf: np.ndarray):
    """Sparse [texts, buckets + 1], the last column ones."""
    from scipy.sparse import csr_matrix, hstack

    found = [_buckets(text, vocabulary, longest) for text in texts]
    rows = np.repeat(np.arange(len(found)), [len(buckets) for buckets in found])
    columns = np.concatenate(found)
    values = idf[columns]
    norms = np.sqrt(np.bincount(rows, values * values, minlength=len(found)))
    values = values / np.maximum(norms, 1e-6)[rows]
    matrix = csr_matrix((values, (rows, columns)), shape=(len(found), len(idf)))
    matrix.eliminate_zeros()
    return hstack([matrix, np.ones((len(found), 1))]).tocsr()


def fit(reviews: list[Review], longest: int) -> Ngrams:
    vocabulary = vocabulary_of(reviews)
    size = len(vocabulary) + 2 + (longest - 1) * BUCKETS
    seen = Counter(
        bucket for review in reviews for bucket in set(_buckets(review.text, vocabulary, longest).tolist())
    )
    idf = np.zeros(size)
    for bucket, texts in seen.items():
        if texts >= LEAST_TEXTS:
            idf[bucket] = np.log((1 + len(reviews)) / (1 + texts)) + 1
    idf[PAD] = idf[UNKNOWN] = 0
    features = _features([review.text for review in reviews], vocabulary, longest, idf)
    learned = minimize_logistic(features, np.array([review.label for review in reviews]), PENALTY)
    return Ngrams(vocabulary, longest, idf, learned[:-1] * idf, float(learned[-1]))


def scores_of(model: Ngrams, reviews: list[Review]) -> np.ndarray:
    """Log odds of `positive` [reviews]."""
    features = _features([review.text for review in reviews], model.vocabulary, model.longest, model.idf)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(model.idf > 0, model.weights / model.idf, 0)
    return features @ np.append(weights, model.bias)


def write(model: Ngrams, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    graph = GraphBuilder("ngrams")
    graph.input("char_ids", INT64, ["batch", "length"])

    def number(name, value):
        return graph.constant(name, np.array([value], np.int64))

    axis, ids = number("axis", 1), "char_ids"
    if model.longest > 1:
        pad, spread = graph.constant("pad_id", np.int64(PAD)), graph.constant("spread", np.int64(SPREAD))
        tail = graph.constant("tail", np.array([0, 0, 0, model.longest - 1], np.int64))
        ids = graph.node("Pad", ["char_ids", tail, pad], "padded_ids")
    last = np.iinfo(np.int64).max
    runs, mixed = [ids], ids
    for width in range(2, model.longest + 1):
        # Of the run so far all but its last place, and the character that follows.
        so_far = graph.node("Slice", [mixed, number("zero", 0), number("before", -1), axis], f"run{width}.head")
        following = graph.node("Slice", [ids, number(f"from{width}", width - 1), number("end", last), axis], f"run{width}.next")
        mixed = graph.node("Add", [graph.node("Mul", [so_far, spread], f"run{width}.spread"), following], f"run{width}")
        bucket = graph.node("Mod", [mixed, graph.constant("buckets", np.int64(BUCKETS))], f"run{width}.bucket")
        inside = graph.node("Cast", [graph.node("Greater", [following, pad], f"run{width}.inside")], f"run{width}.mask", to=INT64)
        size = len(model.vocabulary) + 2 + (width - 2) * BUCKETS
        placed = graph.node("Add", [bucket, graph.constant(f"base{width}", np.int64(size))], f"run{width}.placed")
        # Bucket 0 is the pad, which weighs nothing.
        runs.append(graph.node("Mul", [placed, inside], f"run{width}.at"))
    at = graph.node("Concat", runs, "at", axis=1) if len(runs) > 1 else ids

    def sums(name, table):
        rows = graph.node("Gather", [graph.constant(f"{name}.fp16", table.astype(np.float16)), at], f"{name}.rows")
        return graph.node("Cast", [rows], f"{name}.values", to=FLOAT)

    weighed = graph.node("ReduceSum", [sums("weight", model.weights), axis], "weighed", keepdims=1)
    idf = sums("idf", model.idf)
    squares = graph.node("ReduceSum", [graph.node("Mul", [idf, idf], "idf.squares"), axis], "norm.square", keepdims=1)
    norm = graph.node("Max", [graph.node("Sqrt", [squares], "norm.root"), graph.constant("least", np.float32(1e-6))], "norm")
    odds = graph.node("Add", [graph.node("Div", [weighed, norm], "scaled"), graph.constant("bias", np.float32(model.bias))], "odds")
    signs = graph.constant("signs", np.array([[-0.5, 0.5]], np.float32))
    logits = graph.node("MatMul", [odds, signs], "logits")
    graph.node("Softmax", [logits], graph.output("probabilities", FLOAT, ["batch", len(LABELS)]), axis=-1)
    graph.save(folder / "model.onnx")
    write_pipeline(model.vocabulary, folder / "pipeline.json")
