"""Rewrites what is made from the models and the data and committed: test vectors and examples/data."""

import csv
import json
import tempfile
from pathlib import Path

import numpy as np

from .cache import MODELS
from .encoder_samples import rewrite_encoder_vectors, rewrite_english_sentiment_vectors
from .json_files import write_json
from .lac import LacTagger
from .news import EXAMPLE_LINES, load_sentences
from .quality import SentimentModel, files_of
from .reviews import LABELS, load_reviews
from .zh_sentiment import COMMITTED

EXAMPLES = MODELS.parent / "examples" / "data"
REVIEWS, NEWS = 200, 30
LONGEST_REVIEW, NEWS_LENGTHS = 150, range(20, 80)
CONTINUATION = 32
# Below this lead of the best token another CPU may pick the second: the vector ends before it.
SAFE_MARGIN = 0.2


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf8"))


def rewrite_sentiment_vectors() -> None:
    path, model = COMMITTED / "vectors.json", SentimentModel(COMMITTED)
    cases = _read_json(path)["cases"]
    for case in cases:
        case["probabilities"] = [round(float(value), 6) for value in model.probabilities(case["text"])]
    write_json({"tolerance": 1e-4, "cases": cases}, path, indent=1)


def rewrite_ner_vectors() -> None:
    path = MODELS / "zh-ner" / "vectors.json"
    with tempfile.TemporaryDirectory() as scratch:
        tagger = LacTagger(files_of("zh-ner", Path(scratch)))
        cases = _read_json(path)["cases"]
        for case in cases:
            case["segments"] = tagger.segment(case["text"])
            case["entities"] = [
                entity | {"score": round(entity["score"], 6)} for entity in tagger.entities(case["text"])
            ]
    write_json({"scoreTolerance": 1e-3, "offsets": "UTF-16 code units", "cases": cases}, path, indent=1)


class Decoder:
    """Greedy decoding with the KV cache, one sequence at a time."""

    def __init__(self, folder: Path):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        self.pipeline = _read_json(folder / "pipeline.json")
        self.outputs = [output.name for output in self.session.get_outputs()]

    def continuation(self, prompt: list[int]) -> tuple[list[int], bool]:
        """At most CONTINUATION ids, fewer before a choice that is too close, and whether an end token
        would follow them."""
        shape = (1, self.pipeline["kvHeads"], 0, self.pipeline["headDim"])
        names = [f"{layer}.{part}" for layer in range(self.pipeline["layers"]) for part in ("key", "value")]
        past = {f"past_key_values.{name}": np.zeros(shape, np.float32) for name in names}
        tokens, seen, found = prompt, 0, []
        while len(found) < CONTINUATION:
            seen += len(tokens)
            feed = {
                "input_ids": np.array([tokens], np.int64),
                "attention_mask": np.ones((1, seen), np.int64),
                "logits_at": np.array([[len(tokens) - 1]], np.int64),
                **past,
            }
            result = dict(zip(self.outputs, self.session.run(None, feed)))
            past = {f"past_key_values.{name}": result[f"present.{name}"] for name in names}
            logits = result["logits"][0, -1]
            second, best = np.argsort(logits)[-2:]
            if logits[best] - logits[second] < SAFE_MARGIN:
                return found, False
            if best in self.pipeline["eosTokenIds"]:
                return found, True
            found.append(int(best))
            tokens = [int(best)]
        return found, False


def rewrite_generation_vectors() -> None:
    path = MODELS / "smollm2-135m-instruct" / "vectors.json"
    vectors = _read_json(path)
    with tempfile.TemporaryDirectory() as scratch:
        decoder = Decoder(files_of("smollm2-135m-instruct", Path(scratch), vectors["variant"]))
        for case in vectors["cases"]:
            case["continuationTokenIds"], case["ended"] = decoder.continuation(case["promptTokenIds"])
    write_json(vectors, path, indent=1)


def write_reviews() -> None:
    """The test reviews of lowest id, which is a hash: a sample that nobody chose."""
    reviews = [review for review in load_reviews()["test"] if len(review.text) <= LONGEST_REVIEW]
    with (EXAMPLES / "reviews.csv").open("w", encoding="utf8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "review", "label"])
        for review in sorted(reviews, key=lambda review: review.id)[:REVIEWS]:
            writer.writerow([review.id, review.text, LABELS[review.label]])


def write_news() -> None:
    """Sentences with at least two names, taken at even distances."""
    sentences = [s for s in load_sentences(EXAMPLE_LINES) if len(s.text) in NEWS_LENGTHS and len(s.names) > 1]
    chosen = sentences[:: len(sentences) // NEWS][:NEWS]
    lines = [json.dumps({"text": sentence.text}, ensure_ascii=False) for sentence in chosen]
    (EXAMPLES / "news.jsonl").write_text("\n".join(lines) + "\n", encoding="utf8")


def write() -> None:
    for rewrite in (
        rewrite_sentiment_vectors,
        rewrite_ner_vectors,
        rewrite_generation_vectors,
        rewrite_encoder_vectors,
        rewrite_english_sentiment_vectors,
        write_reviews,
        write_news,
    ):
        print(f"  {rewrite.__name__}", flush=True)
        rewrite()
