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
        lines = [" " + json.dumps(case, ensure_ascii=False) for case in cases]
        text = '{\n"leastCosine": 0.9995,\n"cases": [\n' + ",\n".join(lines) + "\n]}\n"
        (MODELS / model / "vectors.json").write_text(text, encoding="utf8")
