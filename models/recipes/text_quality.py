"""Held-out figures of the text encoders: what int8 loses, English sentiment, zero-shot classification."""

import tempfile
from pathlib import Path

import numpy as np

from . import e5, en_sentiment, minilm, zero_shot
from .cache import RecipeError
from .embedding import Tokens, normalized, run, session_of
from .reviews import load_reviews
from .snippets import load_snippets

SENTIMENT_FLOOR = 0.92
# Where the reference answers with the weights as they were given.
REFERENCE = {"minilm-l6-v2": "fp32", "e5-small": "int4"}
TEXTS = 300


def nearest(embeddings: np.ndarray) -> np.ndarray:
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -1)
    return cosines.argmax(1)


def every(texts: list[str]) -> list[str]:
    """About TEXTS of them, at even distances."""
    return texts[:: len(texts) // TEXTS]


def losses() -> dict[str, tuple[float, float, float]]:
    """By model, of int8 to its reference on test texts: mean and least cosine, share of equal nearest texts."""
    from .quality import files_of

    snippets = every([snippet.text for snippet in load_snippets()["test"]])
    reviews = every([review.text for review in load_reviews()["test"]])
    found = {}
    for model, texts, limit, prefix, pad in (
        ("minilm-l6-v2", snippets, minilm.MAX_TOKENS, "", 0),
        ("e5-small", [*snippets, *reviews], e5.MAX_TOKENS, e5.PREFIXES[0], e5.PAD),
    ):
        embeddings = []
        for variant in (REFERENCE[model], "int8"):
            with tempfile.TemporaryDirectory() as scratch:
                folder = files_of(model, Path(scratch), variant)
                tokens = Tokens((folder / "tokenizer.json").read_text(encoding="utf8"), limit, prefix)
                session = session_of(folder / "model.onnx")
            embeddings.append(normalized(run(session, [tokens.ids(text) for text in texts], pad)))
        cosines = (embeddings[0] * embeddings[1]).sum(1)
        same = (nearest(embeddings[0]) == nearest(embeddings[1])).mean()
        found[model] = float(cosines.mean()), float(cosines.min()), float(same)
    return found


def train_sentiment(update: bool) -> list[str]:
    """Trains the head on three splits and prints their test figures; the names of what is below the floor."""
    examples = en_sentiment.load_examples()
    embeddings = en_sentiment.embeddings_of([example.text for example in examples])
    labels = np.array([example.label for example in examples])
    from_site = np.array([example.source in en_sentiment.SITES for example in examples])
    below = []
    for split in (1, 2, 3):
        head, rows = en_sentiment.train(examples, embeddings, split)
        if update and split == en_sentiment.COMMITTED_SPLIT:
            en_sentiment.commit(head)
        test = rows["test"]
        right = (head.scores(embeddings[test]) > 0) == labels[test]
        for name, chosen in (("sentences", from_site[test]), ("snippets", ~from_site[test])):
            hits = right[chosen]
            share = labels[test][chosen].mean()
            low, high = en_sentiment.interval(hits)
            figures = f"n {len(hits)}  accuracy {hits.mean():.4f} ({low:.3f} to {high:.3f})"
            print(f"  split {split} {name:10} {figures}  majority {max(share, 1 - share):.3f}", flush=True)
            if name == "sentences" and hits.mean() < SENTIMENT_FLOOR:
                below.append(f"en-sentiment split {split}")
    return below


def report(update: bool = False) -> None:
    """Prints every figure; with `update`, chooses the numbers of zero-shot classification and the head anew."""
    print("int8 to its reference: mean and least cosine, equal nearest neighbour")
    for model, figures in losses().items():
        print(f"  {model:14}", "  ".join(f"{figure:.4f}" for figure in figures))
    print("en-sentiment, deduplicated, three splits")
    below = train_sentiment(update)
    print("e5-small, zero-shot classification")
    for language, name, figures in zero_shot.measure(update):
        low, high = figures["interval"]
        texts = [f"{key} {value:.3f}" for key, value in figures.items() if isinstance(value, float)]
        size = f"n {figures['n']}  labels {figures['labels']}"
        print(f"  {language} {name:22} {size}  {'  '.join(texts)}  ({low:.3f} to {high:.3f})")
        if low <= figures["majority"]:
            below.append(f"zero-shot {language} {name}")
    if below:
        raise RecipeError(f"below the floor: {', '.join(below)}")
