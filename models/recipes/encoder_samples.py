"""Test vectors of the text encoders: token ids and embeddings of the reference on the built variants."""

import json
import tempfile
from pathlib import Path

import numpy as np

from . import e5, minilm
from .cache import MODELS
from .embedding import Tokens, normalized, run, session_of
from .quality import files_of

ENGLISH = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "How do I reset my router's password?",
    "Café naïve — déjà vu, 3.5 °C and 1,234 nodes (μ = 0.5)…",
    "Edge nodes of a site with no link go on working; results are synced later. " * 40,
]
CHINESE = [
    "如何重置路由器密码",
    "passage: 长按路由器背面的 Reset 键十秒即可恢复出厂设置并清除密码。",
    "明天北京晴，最高气温２５℃，南风３级。",
    "passage: Hold the reset button on the back of the router for ten seconds.",
    "這個酒店非常乾淨，服務員態度很好😀，下次還會來",
    "边缘节点断网后继续工作，恢复连接后再同步结果。" * 40,
]
MODELS_OF = {
    "minilm-l6-v2": (ENGLISH, ("int8", "fp32"), minilm.MAX_TOKENS, [], 0),
    "e5-small": ([*ENGLISH[:3], *CHINESE], ("int8", "int4"), e5.MAX_TOKENS, e5.PREFIXES, e5.PAD),
}
SENTENCES = [
    "The room was clean and the staff could not have been kinder.",
    "It broke after two days, and nobody answers the phone.",
    "Not bad at all: I'd come back.",
    "I expected a lot more from this director.",
    "Waste of money!!!",
    "Great value, works as described 👍",
]
QUESTIONS = [
    ("国际油价上涨，各大交易所的股票普遍下跌。", ["经济", "体育", "医疗"], False),
    ("主队在加时赛攻入两球，赢得了冠军。", ["经济", "体育", "医疗"], False),
    ("客房很脏，前台态度也差。", ["正面", "负面"], False),
    ("The central bank raised interest rates again.", ["economy", "sports", "medicine"], False),
    ("She scored twice in extra time and won the cup.", ["economy", "sports", "medicine"], False),
    (
        "The striker's transfer fee is the highest a club has ever paid.",
        ["economy", "sports", "cooking"],
        True,
    ),
]


def _write_cases(model: str, head: str, cases: list[dict]) -> None:
    lines = [" " + json.dumps(case, ensure_ascii=False) for case in cases]
    text = f'{{\n{head},\n"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    (MODELS / model / "vectors.json").write_text(text, encoding="utf8")


def rewrite_encoder_vectors() -> None:
    for model, (texts, variants, limit, prefixes, pad) in MODELS_OF.items():
        cases = [{"text": text} for text in texts]
        for variant in variants:
            with tempfile.TemporaryDirectory() as scratch:
                folder = files_of(model, Path(scratch), variant)
                tokens = Tokens((folder / "tokenizer.json").read_text(encoding="utf8"), limit)
                opened = [
                    text if not prefixes or text.startswith(tuple(prefixes)) else prefixes[0] + text
                    for text in texts
                ]
                ids = [tokens.ids(text) for text in opened]
                embeddings = normalized(run(session_of(folder / "model.onnx"), ids, pad))
            for case, row, embedding in zip(cases, ids, embeddings):
                case["ids"] = row
                case.setdefault("embeddings", {})[variant] = np.round(embedding, 4).tolist()
        head = '"leastCosine": 0.9995'
        if model == "e5-small":
            zero_shot = json.dumps(
                {"tolerance": 0.02, "cases": zero_shot_cases()}, ensure_ascii=False, indent=1
            )
            head += f',\n"zeroShot": {zero_shot}'
        _write_cases(model, head, cases)


def rewrite_english_sentiment_vectors() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = files_of("en-sentiment", Path(scratch))
        tokens = Tokens((folder / "tokenizer.json").read_text(encoding="utf8"), e5.MAX_TOKENS, e5.PREFIXES[0])
        session = session_of(folder / "model.onnx")
        probabilities = run(session, [tokens.ids(text) for text in SENTENCES], e5.PAD)
    cases = [
        {"text": text, "probabilities": np.round(row.astype(float), 4).tolist()}
        for text, row in zip(SENTENCES, probabilities)
    ]
    _write_cases("en-sentiment", '"tolerance": 0.01', cases)


def zero_shot_cases() -> list[dict]:
    """Scores in the order of the labels, as zero_shot.py says."""
    from .en_sentiment import embeddings_of
    from .zero_shot import log_softmax

    choices, cases = json.loads(e5.ZERO_SHOT.read_text(encoding="utf8")), []
    for text, labels, several in QUESTIONS:
        choice = choices[
            "han" if any("\u4e00" <= letter <= "\u9fff" for letter in "".join(labels)) else "other"
        ]
        sentences = [choice["hypothesis"].replace("{}", label) for label in [*labels, choice["other"]]]
        embedding, *hypotheses = normalized(embeddings_of([text, *sentences]))
        *cosines, other = np.stack(hypotheses) @ embedding
        if several:
            odds = choice["slope"] * (np.array(cosines) - other) + choice["offset"]
            scores = 1 / (1 + np.exp(-odds))
        else:
            scores = np.exp(log_softmax(np.array([cosines]) / choice["temperature"]))[0]
        rounded = np.round(scores.astype(float), 4).tolist()
        cases.append({"text": text, "labels": labels, "multiLabel": several, "scores": rounded})
    return cases
