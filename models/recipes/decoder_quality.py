"""Held-out bits per byte and perplexity of the decoder, beside n-gram models of the same tokens.

All models give a probability to every token of a text, the first one too: the decoder after one `<|endoftext|>`,
which stood between the documents that it was trained on. Bits are divided by the bytes of the text in UTF-8, so
that figures of other tokenizers compare; perplexity is per token of this one. Where n-gram models are trained, the
decoder is not: they have seen the subject and the style, it has not, as far as anybody knows.
Smoothing of the n-grams: Witten & Bell 1991, "The zero-frequency problem".
"""

import json
import math
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cache import RecipeError
from .en_sentiment import COMMITTED_SPLIT, SITES, load_examples, split_of
from .reviews import key_of, load_reviews, normalize
from .snippets import load_snippets
from .sources import read_members

MODEL = "smollm2-135m-instruct"
VARIANTS = ("int4-mix", "int4")
NGRAMS = {"unigram": 1, "trigram": 3}
CLAIMED = ("en",)
BETWEEN_DOCUMENTS = "<|endoftext|>"
BATCH_TOKENS = 512
RESAMPLES = 1000
TEXTS = 300
CHINESE_TEXTS = 100


@dataclass(frozen=True)
class Corpus:
    name: str
    language: str
    train: list[str]
    test: list[str]


def load_corpora() -> list[Corpus]:
    """English for what is claimed; Chinese for what is not."""
    stem = "gensim/test/test_data/lee"
    background, documents = read_members("gensim", f"{stem}_background.cor", f"{stem}.cor")
    # One has no letter beyond ASCII, the other pound signs of one byte.
    background, documents = (content.decode("latin1").splitlines() for content in (background, documents))
    examples = [example for example in load_examples() if example.source in SITES]
    sentences = {
        part: [example.text for example in examples if split_of(example, COMMITTED_SPLIT) == part]
        for part in ("train", "test")
    }
    snippets, reviews = (
        {part: [entry.text for entry in splits[part]] for part in ("train", "test")}
        for splits in (load_snippets(), load_reviews())
    )
    corpora = [
        Corpus("news articles", "en", background, documents),
        Corpus("review sentences", "en", sentences["train"], every(sentences["test"], TEXTS)),
        Corpus("snippets", "en", snippets["train"], every(snippets["test"], TEXTS)),
        Corpus("reviews", "zh", reviews["train"], every(reviews["test"], CHINESE_TEXTS)),
    ]
    return [Corpus(corpus.name, corpus.language, *without_copies(corpus)) for corpus in corpora]


def every(texts: list[str], count: int) -> list[str]:
    """`count` of them, or all, at even distances."""
    size = min(count, len(texts))
    return [texts[index * len(texts) // size] for index in range(size)]


def without_copies(corpus: Corpus) -> tuple[list[str], list[str]]:
    """Train and test; of texts that differ in punctuation alone the first, and none of test in train."""
    test = {key_of(normalize(text)): text.strip() for text in reversed(corpus.test)}
    train = {key_of(normalize(text)): text.strip() for text in reversed(corpus.train)}
    kept = [text for key, text in reversed(train.items()) if key and key not in test]
    return kept, [text for key, text in reversed(test.items()) if key]


class Ngrams:
    """Interpolated down to the uniform distribution over `vocabulary` tokens: what was seen after a context, and as many
    counts as it had kinds of successors for the next shorter context."""

    def __init__(self, order: int, vocabulary: int):
        self.order, self.vocabulary = order, vocabulary
        self.successors = defaultdict(Counter)

    def train(self, rows: list[list[int]]) -> "Ngrams":
        for row in rows:
            for context, token in self._steps(row):
                for start in range(self.order):
                    self.successors[context[start:]][token] += 1
        self.totals = {context: sum(counts.values()) for context, counts in self.successors.items()}
        return self

    def _steps(self, row: list[int]):
        """(the `order` - 1 tokens before, token); before a text there is nothing, -1."""
        padded = (-1,) * (self.order - 1) + tuple(row)
        for at, token in enumerate(row):
            yield padded[at : at + self.order - 1], token

    def bits(self, row: list[int]) -> float:
        return -sum(math.log2(self.probability(context, token)) for context, token in self._steps(row))

    def probability(self, context: tuple[int, ...], token: int) -> float:
        shorter = self.probability(context[1:], token) if context else 1 / self.vocabulary
        counts = self.successors.get(context)
        if counts is None:
            return shorter
        kinds = len(counts)
        return (counts[token] + kinds * shorter) / (self.totals[context] + kinds)


class Decoder:
    """Scores whole texts, many at a time."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        from .embedding import session_of

        self.session = session_of(folder / "model.onnx")
        pipeline = json.loads((folder / "pipeline.json").read_text(encoding="utf8"))
        self.longest, self.vocabulary = pipeline["contextLength"] - 1, pipeline["vocabSize"]
        shape = (pipeline["kvHeads"], 0, pipeline["headDim"])
        names = [f"{layer}.{part}" for layer in range(pipeline["layers"]) for part in ("key", "value")]
        self.past_shapes = {f"past_key_values.{name}": shape for name in names}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.before = self.tokenizer.token_to_id(BETWEEN_DOCUMENTS)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def bits(self, rows: list[list[int]]) -> np.ndarray:
        """[rows]"""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        found = np.zeros(len(rows))
        while order:
            batch = order[-max(1, BATCH_TOKENS // len(rows[order[-1]])) :]
            del order[-len(batch) :]
            found[batch] = self._bits([rows[index] for index in batch])
        return found

    def _bits(self, rows: list[list[int]]) -> np.ndarray:
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest + 1), self.before, np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, 1 : len(row) + 1] = row
            mask[index, : len(row)] = 1
        mask, given, wanted = mask[:, :-1], ids[:, :-1], ids[:, 1:]
        positions = np.where(mask > 0, np.arange(longest), 0)
        past = {name: np.zeros((len(rows), *shape), np.float32) for name, shape in self.past_shapes.items()}
        feed = {"input_ids": given, "attention_mask": mask, "logits_at": positions, **past}
        logits, normalizer = self.session.run(["logits", "log_normalizer"], feed)
        chosen = np.take_along_axis(logits, wanted[..., None], 2) - normalizer
        return -(chosen[..., 0] * mask).sum(1) / math.log(2)


@dataclass(frozen=True)
class Figures:
    """95 % intervals by resampling documents."""

    bits_per_byte: float
    bits_interval: tuple[float, float]
    perplexity: float
    perplexity_interval: tuple[float, float]


def figures_of(bits: np.ndarray, sizes: np.ndarray, tokens: np.ndarray, seed: int = 1) -> Figures:
    """Of documents with so many bits, bytes and tokens."""
    draws = np.random.default_rng(seed).integers(0, len(bits), (RESAMPLES, len(bits)))

    def estimate(units: np.ndarray):
        low, high = np.quantile(bits[draws].sum(1) / units[draws].sum(1), (0.025, 0.975))
        return float(bits.sum() / units.sum()), (float(low), float(high))

    per_byte, byte_interval = estimate(sizes)
    per_token, (low, high) = estimate(tokens)
    return Figures(per_byte, byte_interval, 2**per_token, (2**low, 2**high))


def measure() -> list[tuple[Corpus, int, dict[str, Figures]]]:
    """(corpus, tokens of its test texts, figures by model)."""
    from .quality import files_of

    corpora, found = load_corpora(), []
    decoders = {}
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory() as scratch:
            decoders[variant] = Decoder(files_of(MODEL, Path(scratch), variant))
    tokenizer = decoders[VARIANTS[0]]
    for corpus in corpora:
        train, test = ([tokenizer.ids(text) for text in texts] for texts in (corpus.train, corpus.test))
        test = [row[: tokenizer.longest] for row in test]
        sizes = np.array([len(tokenizer.tokenizer.decode(row).encode()) for row in test])
        tokens = np.array([len(row) for row in test])
        bits = {variant: decoder.bits(test) for variant, decoder in decoders.items()}
        for name, order in NGRAMS.items():
            model = Ngrams(order, tokenizer.vocabulary).train(train)
            bits[name] = np.array([model.bits(row) for row in test])
        figures = {name: figures_of(values, sizes, tokens) for name, values in bits.items()}
        found.append((corpus, int(tokens.sum()), figures))
    return found


def report() -> None:
    """Prints every figure. Raises RecipeError when the decoder does not beat both n-grams in English."""
    print(f"{MODEL}, bits per byte and perplexity per token, 95 % by resampling texts")
    below = []
    for corpus, tokens, figures in measure():
        print(
            f"  {corpus.language} {corpus.name}: n {len(corpus.test)}, {tokens} tokens; "
            f"n-grams of {len(corpus.train)} other texts"
        )
        for name, found in figures.items():
            (low, high), (least, most) = found.bits_interval, found.perplexity_interval
            print(
                f"    {name:8} {found.bits_per_byte:.3f} ({low:.3f} to {high:.3f})  "
                f"perplexity {found.perplexity:.1f} ({least:.1f} to {most:.1f})",
                flush=True,
            )
        if corpus.language in CLAIMED:
            best = min(figures[name].bits_interval[0] for name in NGRAMS)
            below += [f"{name} on {corpus.name}" for name in VARIANTS if figures[name].bits_interval[1] >= best]
    if below:
        raise RecipeError(f"{MODEL} is not better than n-grams: {', '.join(below)}")
