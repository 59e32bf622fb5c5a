"""Held-out quality, measured on the ONNX files with onnxruntime, and the floors that it must reach."""

import json
import tempfile
from pathlib import Path

import numpy as np

from .cache import BLOBS, RecipeError
from .lac import LacTagger
from .news import TEST_LINES, load_sentences
from .reviews import Review, load_reviews
from .zh_sentiment import COMMITTED, encode

SENTIMENT_FLOOR, PERSON_FLOOR = 0.83, 0.85


class SentimentModel:
    """Reads model.onnx and pipeline.json of `folder`."""

    def __init__(self, folder: Path):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        self.vocabulary = json.loads((folder / "pipeline.json").read_text(encoding="utf8"))["vocab"]

    def probabilities(self, text: str) -> np.ndarray:
        """[negative, positive]"""
        ids = np.array([encode(text, self.vocabulary)], np.int64)
        return self.session.run(None, {"char_ids": ids})[0][0]


def f1(true_positives: int, gold: int, predicted: int) -> float:
    return 2 * true_positives / (gold + predicted) if gold + predicted else 0.0


def evaluate_sentiment(folder: Path, reviews: list[Review]) -> dict[str, float]:
    """Accuracy, F1 of `positive`, and the mean gap between confidence and accuracy in ten bins (ECE)."""
    model = SentimentModel(folder)
    probabilities = np.stack([model.probabilities(review.text) for review in reviews])
    labels = np.array([review.label for review in reviews])
    predicted = probabilities.argmax(1)
    correct = predicted == labels
    confidence = probabilities.max(1)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(correct[bins == b].sum() - confidence[bins == b].sum()) for b in range(10)]
    positives = int((predicted * labels).sum())
    return {
        "accuracy": float(correct.mean()),
        "F1": f1(positives, int(labels.sum()), int(predicted.sum())),
        "ECE": sum(gaps) / len(reviews),
    }


def evaluate_names(tagger: LacTagger) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of exact spans, by type."""
    counts = {kind: [0, 0, 0] for kind in ("PER", "LOC", "ORG")}
    for sentence in load_sentences(TEST_LINES):
        found = {(e["entity_group"], e["start"], e["end"]) for e in tagger.entities(sentence.text)}
        for kind, count in counts.items():
            gold = {name for name in sentence.names if name[0] == kind}
            predicted = {name for name in found if name[0] == kind}
            for index, part in enumerate((gold & predicted, gold, predicted)):
                count[index] += len(part)
    return {
        kind: {"precision": hits / predicted, "recall": hits / gold, "F1": f1(hits, gold, predicted)}
        for kind, (hits, gold, predicted) in counts.items()
    }


def files_of(model: str, folder: Path, variant: str | None = None) -> Path:
    """Links the blobs of a variant (default: the model's first) under their names in `folder`."""
    from .catalogue import load

    (document,) = (document for document in load() if document["metadata"]["name"] == model)
    variants = document["spec"]["variants"]
    chosen = next(entry for entry in variants if variant in (None, entry["name"]))
    for file in chosen["files"]:
        if not (BLOBS / file["sha256"]).exists():
            raise RecipeError(f"{file['path']} of {model} is not in the blob store: run models/build all")
        (folder / file["path"]).symlink_to(BLOBS / file["sha256"])
    return folder


def report(trained: dict[str, Path]) -> None:
    """Prints a table of the committed sentiment model, the seeds in `trained` and the NER model.

    Raises RecipeError when a figure is below its floor."""
    splits = load_reviews()
    ids = [review.id for split in splits.values() for review in split]
    if len(set(ids)) != len(ids):
        raise RecipeError("a review is in two splits")
    print(
        "zh-sentiment, deduplicated reviews:",
        ", ".join(f"{name} {len(split)}" for name, split in splits.items()),
    )
    below = []
    for name, folder in {"committed": COMMITTED, **trained}.items():
        figures = evaluate_sentiment(folder, splits["test"])
        print(f"  {name:10}", "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))
        below += [f"zh-sentiment {name}"] if figures["accuracy"] < SENTIMENT_FLOOR else []
    print(f"zh-ner, {len(load_sentences(TEST_LINES))} lines of the People's Daily, exact spans")
    with tempfile.TemporaryDirectory() as scratch:
        names = evaluate_names(LacTagger(files_of("zh-ner", Path(scratch))))
    for kind, figures in names.items():
        print(f"  {kind:10}", "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    below += ["zh-ner PER"] if names["PER"]["F1"] < PERSON_FLOOR else []
    print(f"floors: zh-sentiment accuracy {SENTIMENT_FLOOR}, zh-ner PER F1 {PERSON_FLOOR}")
    if below:
        raise RecipeError(f"below the floor: {', '.join(below)}")
