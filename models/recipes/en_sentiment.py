"""English sentiment: a logistic head on e5-small's embedding, in one graph with the encoder.

    input_ids, attention_mask [batch, time] -> probabilities [batch, 2]: negative, positive

Only the head (384 weights and a bias) is trained and committed. Its data are labelled sentences of three review
sites and the snippets of snippets.py that 20 people rated clearly, at least 1 from neutral.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import e5
from .bert import Encoder
from .bigrams import minimize_logistic
from .cache import MODELS
from .json_files import write_json
from .onnx_graph import FLOAT, GraphBuilder
from .reviews import key_of, normalize
from .snippets import load_snippets
from .sources import read_npm_members

COMMITTED = MODELS / "en-sentiment" / "head.json"
LABELS = ["negative", "positive"]
SITES = ("imdb", "yelp", "amazon")
VARIANT = "int8"
CLEAR_RATING = 1
PENALTIES = (10.0, 100.0, 1000.0, 10000.0)
# The split that the committed head is of: the first, not the best.
COMMITTED_SPLIT = 1


@dataclass(frozen=True)
class Example:
    """`label` an index into LABELS; `digest` of the letters and digits, so that equal texts are one."""

    digest: str
    text: str
    label: int
    source: str


def load_examples() -> list[Example]:
    """Sentences of the sites first; texts that differ in punctuation alone are one, and one with both labels none."""
    found, labels = {}, {}

    def add(text: str, label: int, source: str) -> None:
        key = key_of(normalize(text))
        if len(key) >= 4:
            found.setdefault(key, (text.strip(), source))
            labels.setdefault(key, set()).add(label)

    members = [f"test/fixtures/{site}.json" for site in SITES]
    for site, content in zip(SITES, read_npm_members("sentiment", *members)):
        for entry in json.loads(content):
            if entry.get("class") is not None:
                add(entry["text"], int(entry["class"]), site)
    for snippets in load_snippets().values():
        for snippet in snippets:
            if abs(snippet.rating) >= CLEAR_RATING:
                add(snippet.text, int(snippet.rating > 0), snippet.source)
    return [
        Example(hashlib.sha256(key.encode()).hexdigest(), text, min(labels[key]), source)
        for key, (text, source) in found.items()
        if len(labels[key]) == 1
    ]


def split_of(example: Example, split: int) -> str:
    """Split `split` of the examples: 7/10 train, 1/10 validation, 2/10 test, by a hash of the text."""
    digest = hashlib.sha256(f"{split} {example.digest}".encode()).hexdigest()
    return {0: "test", 1: "test", 2: "validation"}.get(int(digest[:8], 16) % 10, "train")


def embeddings_of(texts: list[str]) -> np.ndarray:
    """[texts, hidden] of the built e5-small, not normalised."""
    from .embedding import Tokens, run, session_of
    from .quality import files_of

    with tempfile.TemporaryDirectory() as scratch:
        folder = files_of("e5-small", Path(scratch), VARIANT)
        tokens = Tokens((folder / "tokenizer.json").read_text(encoding="utf8"), e5.MAX_TOKENS, e5.PREFIXES[0])
        return run(session_of(folder / "model.onnx"), [tokens.ids(text) for text in texts], e5.PAD)


@dataclass(frozen=True)
class Head:
    weights: np.ndarray
    bias: float

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Log-odds of `positive`."""
        return embeddings @ self.weights + self.bias


def fit(embeddings: np.ndarray, labels: np.ndarray, penalty: float) -> Head:
    mean, deviation = embeddings.mean(0), embeddings.std(0)
    columns = np.hstack([(embeddings - mean) / deviation, np.ones((len(labels), 1))])
    return folded(minimize_logistic(columns, labels, penalty), mean, deviation)


def folded(learned: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> Head:
    """The head for embeddings as they are, of one learned on standardised ones."""
    weights = learned[:-1] / deviation
    return Head(weights, float(learned[-1] - mean @ weights))


def train(examples: list[Example], embeddings: np.ndarray, split: int) -> tuple[Head, dict[str, np.ndarray]]:
    """The head whose penalty is best on the validation part, and the rows of each part."""
    labels = np.array([example.label for example in examples])
    parts = np.array([split_of(example, split) for example in examples])
    rows = {part: np.flatnonzero(parts == part) for part in ("train", "validation", "test")}
    checked = rows["validation"]
    heads = [fit(embeddings[rows["train"]], labels[rows["train"]], penalty) for penalty in PENALTIES]
    right = [((head.scores(embeddings[checked]) > 0) == labels[checked]).mean() for head in heads]
    return heads[int(np.argmax(right))], rows


def interval(right: np.ndarray) -> tuple[float, float]:
    """95 % interval of an accuracy (Wilson)."""
    count, share, z = len(right), right.mean(), 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return float(middle - half), float(middle + half)


def commit(head: Head) -> None:
    COMMITTED.parent.mkdir(exist_ok=True)
    value = {"weights": [float(f"{weight:.6g}") for weight in head.weights], "bias": round(head.bias, 6)}
    write_json(value, COMMITTED)


def read_head() -> Head:
    value = json.loads(COMMITTED.read_text(encoding="utf8"))
    return Head(np.array(value["weights"]), value["bias"])


def build(folder: Path) -> None:
    """Writes the variant below `folder`."""
    weights, head = e5.Weights(), read_head()
    graph = GraphBuilder("en_sentiment")
    linear, words = e5.linears(weights)[VARIANT], e5.packed_words(weights)
    embedding = Encoder(graph, weights.shape, weights.other, linear, words).pooled("sentence_embedding")
    halves = np.stack([-head.weights, head.weights], 1) / 2
    bias = np.array([-head.bias, head.bias]) / 2
    inputs = [embedding, graph.constant("head", halves.astype(np.float32))]
    logits = graph.node("Gemm", [*inputs, graph.constant("head.bias", bias.astype(np.float32))], "logits")
    output = graph.output("probabilities", FLOAT, ["batch", len(LABELS)])
    graph.node("Softmax", [logits], output, axis=-1)
    variant = folder / VARIANT
    variant.mkdir(parents=True, exist_ok=True)
    graph.save(variant / "model.onnx")
    e5.write_tokenizer(weights, variant)
    pipeline = {
        "kind": "text-encoder-classifier",
        **e5.inputs_of_pipeline(),
        "output": output,
        "labels": LABELS,
    }
    write_json(pipeline, variant / "pipeline.json")
