"""What a gate is measured on: pairs of models with a gap between them, and the committed pre-gate.

A trial is a seed: it splits the deduplicated reviews anew (8/10 train, 1/10 calibration, 1/10 test), trains an edge
model on 400 of the training reviews, a deep one on all, and a pre-gate on the edge's mistakes on the other training
reviews. Nothing of the test rows is seen before `autoglm gate eval` reads them:

    <cache>/models/gate/seed-N/{edge,deep,gate}/   gold.jsonl: {"text", "label", "split"}
"""

import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from . import gate, ngrams, zh_sentiment
from .cache import CACHE, MODELS, RecipeError
from .gate_features import vector_of, vectors_of
from .json_files import write_json
from .lac import LacTagger
from .news import Sentence, load_sentences
from .quality import evaluate_sentiment, files_of
from .reviews import LABELS, Review, load_reviews

TRIALS = CACHE / "models" / "gate"
SEEDS = range(1, 11)
EDGE_ROWS = 400
TINY = MODELS / "zh-sentiment-tiny"
LARGEST_GATE = 100_000
# Lines of the news by their last digit: 3 and 7 have other uses (news.py).
NEWS_DIGITS = {"test": (9,), "validation": (8,), "train": (0, 1, 2, 4, 5, 6)}
VECTOR_TEXTS = ["", " \n ", "啊啊啊啊", "房间很大，服务也不错。", "Not worth the money!", "быстро 123", "一" * 5000, "😀 好"]


def split(seed: int) -> tuple[list[Review], list[Review], list[Review]]:
    """Train, calibration, test; no text is in two of them."""
    reviews = sorted((review for part in load_reviews().values() for review in part), key=lambda one: one.id)
    order = np.random.default_rng(seed).permutation(len(reviews))
    shuffled = [reviews[index] for index in order]
    tenth = len(shuffled) // 10
    return shuffled[2 * tenth :], shuffled[tenth : 2 * tenth], shuffled[:tenth]


def judged(edge: ngrams.Ngrams, reviews: list[Review]) -> gate.Judged:
    labels = np.array([review.label for review in reviews])
    wrong = (ngrams.scores_of(edge, reviews) > 0) != labels
    texts = [review.text for review in reviews]
    return gate.Judged(vectors_of(texts, "text-classification"), wrong.astype(np.float32))


def news_splits() -> dict[str, list[Sentence]]:
    """No text is there twice: headings return from day to day."""
    splits, seen = {}, set()
    for name, digits in NEWS_DIGITS.items():
        splits[name] = []
        for sentence in (sentence for digit in digits for sentence in load_sentences(digit)):
            if sentence.text not in seen:
                splits[name].append(sentence)
            seen.add(sentence.text)
    return splits


def judged_news(sentences: list[Sentence]) -> gate.Judged:
    """Hard is a line whose names the tagger does not find exactly."""
    with tempfile.TemporaryDirectory() as scratch:
        tagger = LacTagger(files_of("zh-ner", Path(scratch)))
        wrong = []
        for sentence in sentences:
            found = {
                (e["entity_group"], e["start"], e["end"])
                for e in tagger.entities(sentence.text)
                if e["entity_group"] in ("PER", "LOC", "ORG")
            }
            wrong.append(found != set(sentence.names))
    texts = [sentence.text for sentence in sentences]
    return gate.Judged(vectors_of(texts, "token-classification"), np.array(wrong, np.float32))


def build_trial(seed: int) -> None:
    folder = TRIALS / f"seed-{seed}"
    if (folder / "gold.jsonl").exists():
        return
    started = time.monotonic()
    train, calibration, test = split(seed)
    if {review.id for review in train} & {review.id for review in [*calibration, *test]}:
        raise RecipeError("a review is in two splits")
    edge, deep = ngrams.fit(train[:EDGE_ROWS], 1), ngrams.fit(train, 3)
    held_out = judged(edge, calibration)
    raw = gate.train(judged(edge, train[EDGE_ROWS:]), held_out, seed)
    network = gate.calibrated(raw, held_out)
    shutil.rmtree(folder, ignore_errors=True)
    ngrams.write(edge, folder / "edge")
    ngrams.write(deep, folder / "deep")
    gate.write(network, folder / "gate")
    rows = [
        {"text": review.text, "label": LABELS[review.label], "split": name}
        for name, part in (("calibration", calibration), ("test", test))
        for review in part
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "gold.jsonl").write_text(lines, encoding="utf8")
    labels = np.array([review.label for review in test])
    accuracies = [((ngrams.scores_of(model, test) > 0) == labels).mean() for model in (edge, deep)]
    figures = gate.figures(raw, network, judged(edge, test))
    print(
        f"  seed {seed}: edge {accuracies[0]:.4f}, deep {accuracies[1]:.4f}, pre-gate {shown(figures)}, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )


def shown(figures: dict[str, float]) -> str:
    return "  ".join(f"{key} {value:.3f}" if key != "n" else f"n {value}" for key, value in figures.items())


def print_with_intervals(kind: str, networks: tuple[dict[str, np.ndarray], ...], rows: gate.Judged) -> None:
    found, ends = gate.figures(*networks, rows), gate.intervals(*networks, rows)
    print(f"  {kind}: n {found.pop('n')}, hard {found.pop('hard'):.3f}")
    for key, value in found.items():
        print(f"    {key:26} {value:.3f} [{ends[key][0]:.3f}, {ends[key][1]:.3f}]")


def build() -> None:
    print(f"trials in {TRIALS}")
    for seed in SEEDS:
        build_trial(seed)
    print(f"now: autoglm gate eval --gold {TRIALS}/seed-*/gold.jsonl")


def train_committed() -> None:
    """The gate that ships with the agent, for zh-sentiment-tiny and zh-ner, and that tiny model; with their figures."""
    splits = load_reviews()
    order = np.random.default_rng(1).permutation(len(splits["train"]))
    train = [splits["train"][index] for index in order]
    edge = ngrams.fit(train[:EDGE_ROWS], 1)
    ngrams.write(edge, TINY)
    reviews = {name: judged(edge, rows) for name, rows in (("train", train[EDGE_ROWS:]), *list(splits.items())[1:])}
    news = {name: judged_news(sentences) for name, sentences in news_splits().items()}
    validation = reviews["validation"] + news["validation"]
    raw = gate.train(reviews["train"] + news["train"], validation, 1)
    network = gate.calibrated(raw, validation)
    gate.write(network, gate.COMMITTED)
    size = (gate.COMMITTED / "model.onnx").stat().st_size
    if size > LARGEST_GATE:
        raise RecipeError(f"the gate is {size} bytes, over {LARGEST_GATE}")
    write_vectors()
    print(f"gate: {size} bytes; test splits, 95 % intervals by resampling rows")
    print_with_intervals("text-classification, reviews", (raw, network), reviews["test"])
    print_with_intervals("token-classification, news", (raw, network), news["test"])
    for name, folder in (("zh-sentiment-tiny", TINY), ("zh-sentiment", zh_sentiment.COMMITTED)):
        print(f"  {name:17}", shown(evaluate_sentiment(folder, splits["test"])))


def write_vectors() -> None:
    """Features and P(hard) of some texts by the committed file, for the implementation in TypeScript."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(gate.COMMITTED / "model.onnx"))
    vectors = []
    for text in VECTOR_TEXTS:
        for task_type in ("text-classification", "token-classification", "summarization"):
            features = vector_of(text, task_type)
            hard = float(session.run(None, {"features": features[None]})[0][0, 0])
            filled = {str(index): float(features[index]) for index in np.flatnonzero(features)}
            vectors.append({"text": text, "taskType": task_type, "features": filled, "pHard": hard})
    write_json(vectors, gate.COMMITTED / "vectors.json", indent=1)
