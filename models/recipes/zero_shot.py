"""Zero-shot classification with e5-small: which sentence stands for a label, and what similarities are worth.

A text and the sentences about its candidate labels are embedded with the prefix of queries; their cosines,
divided by a temperature, go through a softmax. With several labels allowed, each is judged against a label
that means none of them, by a logistic function of the difference of the two cosines. Sentence, temperature,
slope and offset of each language are chosen on validation data and committed; test data only judge them.
"""

import hashlib
import json
import random
import zipfile
from dataclasses import dataclass

import numpy as np

from .bigrams import minimize_logistic
from .e5 import ZERO_SHOT
from .embedding import normalized
from .en_sentiment import CLEAR_RATING, embeddings_of, interval
from .json_files import write_json
from .reviews import key_of, load_reviews, normalize
from .snippets import load_snippets
from .sources import download

CORPUS = "chatterbot-corpus"
SAMPLE = 500
# Topics of the corpus's dialogues, and how a user would call them.
TOPICS = {
    "ai": ("人工智能", "artificial intelligence"),
    "emotion": ("情感", "emotion"),
    "food": ("食物", "food"),
    "history": ("历史", "history"),
    "humor": ("笑话", "humor"),
    "literature": ("文学", "literature"),
    "money": ("金钱", "money"),
    "movies": ("电影", "movies"),
    "politics": ("政治", "politics"),
    "psychology": ("心理", "psychology"),
    "science": ("科学", "science"),
    "sports": ("体育", "sports"),
}
HYPOTHESES = {
    "zh": ("{}", "这是{}", "这段话是关于{}的。", "主题：{}", "这段文字是{}的。", "这段文字属于{}类。"),
    "en": ("{}", "This is {}.", "This text is about {}.", "Topic: {}", "This text is {}."),
}
OTHER = {"zh": "其他", "en": "other"}
# `other` in the agent's configuration is any label without Han characters.
KEYS = {"zh": "han", "en": "other"}
SENTIMENT = {"zh": ("负面", "正面"), "en": ("negative", "positive")}
SOURCE_LABELS = {
    "post": "social media post",
    "product": "product review",
    "film": "movie review",
    "opinion": "newspaper editorial",
}
_TEMPERATURES = np.geomspace(0.004, 0.2, 60)


@dataclass(frozen=True)
class Task:
    """Embeddings of texts with one right label each; `parts` says which are for validation and which for test."""

    name: str
    language: str
    labels: list[str]
    right: np.ndarray
    parts: np.ndarray
    embeddings: np.ndarray

    def cosines(self, labels: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
        rows = self.parts == part
        return self.embeddings[rows] @ labels.T, self.right[rows]


def _task(name: str, language: str, labels: list[str], rows: list[tuple[str, str, str]]) -> Task:
    """Of texts with their label and part."""
    texts, right, parts = zip(*rows)
    indices = np.array([labels.index(label) for label in right])
    return Task(name, language, labels, indices, np.array(parts), _embedded(list(texts)))


def topics(language: str) -> list[tuple[str, str, str]]:
    """Dialogues with their topic and part."""
    import yaml

    folder, column = {"zh": ("chinese", 0), "en": ("english", 1)}[language]
    rows, seen = [], set()
    with zipfile.ZipFile(download(CORPUS)) as wheel:
        for stem, names in TOPICS.items():
            content = wheel.read(f"chatterbot_corpus/data/{folder}/{stem}.yml").decode("utf8")
            for dialogue in yaml.safe_load(content)["conversations"]:
                text = " ".join(map(str, dialogue))
                key = key_of(normalize(text))
                if len(key) < 4 or key in seen:
                    continue
                seen.add(key)
                digest = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)
                rows.append((text, names[column], "validation" if digest % 10 < 4 else "test"))
    return rows


def _topics(language: str) -> Task:
    labels = [names[{"zh": 0, "en": 1}[language]] for names in TOPICS.values()]
    return _task("topic of a dialogue", language, labels, topics(language))


def _sampled(splits: dict, label_of) -> list[tuple[str, str, str]]:
    rng = random.Random(5)
    return [
        (entry.text, label_of(entry), part)
        for part in ("validation", "test")
        for entry in rng.sample(splits[part], SAMPLE)
    ]


def load_tasks() -> list[Task]:
    snippets, reviews = load_snippets(), load_reviews()
    clear = {
        part: [snippet for snippet in entries if abs(snippet.rating) >= CLEAR_RATING]
        for part, entries in snippets.items()
    }
    zh, en = (list(SENTIMENT[language]) for language in ("zh", "en"))
    return [
        _topics("zh"),
        _task("sentiment of a review", "zh", zh, _sampled(reviews, lambda review: zh[review.label])),
        _topics("en"),
        _task("sentiment of a snippet", "en", en, _sampled(clear, lambda snippet: en[snippet.rating > 0])),
        _task(
            "source of a snippet",
            "en",
            list(SOURCE_LABELS.values()),
            _sampled(snippets, lambda snippet: SOURCE_LABELS[snippet.source]),
        ),
    ]


def _embedded(texts: list[str]) -> np.ndarray:
    return normalized(embeddings_of(texts))


def _labels_of(task: Task, hypothesis: str) -> np.ndarray:
    return _embedded([hypothesis.replace("{}", label) for label in task.labels])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _accuracy(cosines: np.ndarray, right: np.ndarray) -> np.ndarray:
    return cosines.argmax(1) == right


def fit(language: str, tasks: list[Task]) -> dict:
    """The choice of one language on the validation parts; every task weighs the same."""
    chosen = max(
        HYPOTHESES[language],
        key=lambda hypothesis: np.mean(
            [_accuracy(*task.cosines(_labels_of(task, hypothesis), "validation")).mean() for task in tasks]
        ),
    )
    judged = [task.cosines(_labels_of(task, chosen), "validation") for task in tasks]

    def loss(temperature: float) -> float:
        return float(
            np.mean(
                [
                    -log_softmax(cosines / temperature)[range(len(right)), right].mean()
                    for cosines, right in judged
                ]
            )
        )

    (other,) = _embedded([chosen.replace("{}", OTHER[language])])
    margins, holds = [], []
    for task, (cosines, right) in zip(tasks, judged):
        against = task.embeddings[task.parts == "validation"] @ other
        margins.append((cosines - against[:, None]).ravel())
        holds.append(np.eye(len(task.labels), dtype=int)[right].ravel())
    columns = np.stack([np.concatenate(margins), np.ones(sum(map(len, margins)))], 1)
    slope, offset = minimize_logistic(columns, np.concatenate(holds), penalty=0)
    return {
        "hypothesis": chosen,
        "temperature": float(f"{min(_TEMPERATURES, key=loss):.3g}"),
        "other": OTHER[language],
        "slope": float(f"{slope:.3g}"),
        "offset": float(f"{offset:.3g}"),
    }


def _ranked_right(scores: np.ndarray, holds: np.ndarray) -> float:
    """Area under the ROC curve."""
    from scipy.stats import rankdata

    positives = holds.sum()
    ranks = rankdata(scores)[holds].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(holds) - positives)))


def figures(task: Task, choice: dict) -> dict:
    """On the test part. `majority` is the accuracy of always answering the most frequent label."""
    cosines, right = task.cosines(_labels_of(task, choice["hypothesis"]), "test")
    hits = _accuracy(cosines, right)
    (other,) = _embedded([choice["hypothesis"].replace("{}", choice["other"])])
    margins = cosines - (task.embeddings[task.parts == "test"] @ other)[:, None]
    confidence = np.exp(log_softmax(cosines / choice["temperature"]).max(1))
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(hits[bins == b].sum() - confidence[bins == b].sum()) for b in range(10)]
    holds = np.eye(len(task.labels), dtype=bool)[right]
    return {
        "n": len(right),
        "labels": len(task.labels),
        "majority": float(np.bincount(right).max() / len(right)),
        "accuracy": float(hits.mean()),
        "interval": interval(hits),
        "ECE": float(sum(gaps) / len(right)),
        "AUC of several labels": _ranked_right(margins.ravel(), holds.ravel()),
    }


def measure(update: bool) -> list[tuple[str, str, dict]]:
    """(language, task, figures); with `update`, chooses anew and rewrites zero-shot.json first."""
    tasks = load_tasks()
    by_language = {language: [task for task in tasks if task.language == language] for language in HYPOTHESES}
    if update:
        choices = {KEYS[language]: fit(language, group) for language, group in by_language.items()}
        write_json(choices, ZERO_SHOT, indent=1)
    choices = json.loads(ZERO_SHOT.read_text(encoding="utf8"))
    return [(task.language, task.name, figures(task, choices[KEYS[task.language]])) for task in tasks]
