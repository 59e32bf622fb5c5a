"""Gold files of held-out texts, for `autoglm eval` with a generating model and the built-in prompts.

    gold/en-sentiment.jsonl      {"text", "label"}: as many negative as positive sentences of review sites
    gold/zh-sentiment.jsonl      the same of Chinese reviews
    gold/{en,zh}-topics.jsonl    dialogues, twelve topics
    gold/smollm2-135m-instruct/VARIANT    the model's folder, links into the blob store
"""

import json
import shutil
from collections.abc import Sequence

from . import zero_shot
from .cache import CACHE
from .en_sentiment import COMMITTED_SPLIT, LABELS, SITES, load_examples, split_of
from .quality import files_of
from .reviews import load_reviews

FOLDER = CACHE / "models" / "gold"
MODEL, VARIANTS = "smollm2-135m-instruct", ("int4-mix", "int4")
OF_EACH_LABEL = 150

Row = tuple[str, str]


def balanced(rows: Sequence[tuple[str, str, str]]) -> list[Row]:
    """(text, label) of (id, text, label): the same number of each label, of lowest id, which is a hash."""
    labels = sorted({label for _, _, label in rows})
    chosen = [sorted(row for row in rows if row[2] == label)[:OF_EACH_LABEL] for label in labels]
    least = min(map(len, chosen))
    return [(text, label) for _, text, label in sorted(row for part in chosen for row in part[:least])]


def english_sentences() -> list[Row]:
    """None of them trained the head of en-sentiment."""
    examples = (example for example in load_examples() if example.source in SITES)
    return balanced(
        [
            (example.digest, example.text, LABELS[example.label])
            for example in examples
            if split_of(example, COMMITTED_SPLIT) == "test"
        ]
    )


def chinese_reviews() -> list[Row]:
    return balanced([(review.id, review.text, LABELS[review.label]) for review in load_reviews()["test"]])


def topics(language: str) -> list[Row]:
    return [(text, label) for text, label, part in zero_shot.topics(language) if part == "test"]


def write() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    files = {
        "en-sentiment": english_sentences(),
        "zh-sentiment": chinese_reviews(),
        **{f"{language}-topics": topics(language) for language in ("en", "zh")},
    }
    for name, rows in files.items():
        lines = (json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows)
        (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf8")
        print(f"  {FOLDER / name}.jsonl: {len(rows)} rows, {len({label for _, label in rows})} labels")
    for variant in VARIANTS:
        (FOLDER / MODEL / variant).mkdir(parents=True)
        files_of(MODEL, FOLDER / MODEL / variant, variant)
    print("now:")
    for name, rows in files.items():
        is_topic = name.endswith("topics")
        kind = "zero-shot-classification" if is_topic else "text-classification"
        labels = ",".join(dict.fromkeys(label for _, label in rows))
        prompt = f"--prompts prompts/{kind}.yaml --prompt {kind}-{name[:2]}-zero"
        command = f"autoglm eval {FOLDER / MODEL / VARIANTS[0]} --gold {FOLDER / name}.jsonl --type {kind} {prompt}"
        print(f"  {command}" + (f' --labels "{labels}"' if is_topic else ""))
