"""The reference tagger around the zh-ner graph: segment, look up, Viterbi, entities with scores.

    text -> words (the segmentation of highest likelihood) -> units (a word of the vocabulary, else its
    characters) -> emissions [units, 49] -> best path of the CRF -> a tag per character -> entities

Everything counts in code points; only the offsets that leave this file are UTF-16 code units, JavaScript's.
"""

import json
import math
from pathlib import Path

import numpy as np


def log_sum_exp(values: np.ndarray, axis: int) -> np.ndarray:
    top = values.max(axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(values - top).sum(axis))


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class Segmenter:
    """Splits a text into words. A word weighs its length; a prefix that is no word weighs 0 and only keeps
    the search going. `log_total` is the log of the sum of all word counts."""

    def __init__(self, words: list[str], log_total: float):
        self.log_total = log_total
        self.weights = {}
        for word in words:
            for end in range(1, len(word)):
                self.weights.setdefault(word[:end], 0)
            self.weights[word] = len(word)

    def segment(self, text: str) -> list[str]:
        """Splits at the path of highest sum of log(weight) - logTotal, the longer word on a tie; lone ASCII
        letters and digits that follow each other are one word again."""
        size = len(text)
        best = [0.0] * (size + 1)
        following = [0] * size
        for start in range(size - 1, -1, -1):
            ends = [start + 1]
            for end in range(start + 1, size + 1):
                weight = self.weights.get(text[start:end])
                if weight is None:
                    break
                if weight:
                    ends.append(end)
            scores = ((self._log_likelihood(text[start:end]) + best[end], end) for end in ends)
            best[start], following[start] = max(scores)
        words, at, run = [], 0, ""
        while at < size:
            word = text[at : following[at]]
            at = following[at]
            if len(word) == 1 and word.isascii() and word.isalnum():
                run += word
                continue
            words += [run, word] if run else [word]
            run = ""
        return words + [run] if run else words

    def _log_likelihood(self, word: str) -> float:
        return math.log(self.weights.get(word) or 1) - self.log_total


class Crf:
    """A linear-chain CRF over `start` [tags], `end` [tags] and `transitions` [from, to]."""

    def __init__(self, start: np.ndarray, end: np.ndarray, transitions: np.ndarray):
        self.start, self.end, self.transitions = start, end, transitions

    def best_path(self, emissions: np.ndarray) -> list[int]:
        """Viterbi; the lowest tag index on a tie."""
        scores, back = self.start + emissions[0], []
        for row in emissions[1:]:
            candidates = scores[:, None] + self.transitions
            back.append(candidates.argmax(0))
            scores = candidates.max(0) + row
        path = [int((scores + self.end).argmax())]
        for pointers in reversed(back):
            path.append(int(pointers[path[-1]]))
        return path[::-1]

    def marginals(self, emissions: np.ndarray) -> np.ndarray:
        """P(tag of the unit | text) [units, tags], by the forward-backward sums."""
        forward, backward = [self.start + emissions[0]], [self.end]
        for row in emissions[1:]:
            forward.append(log_sum_exp(forward[-1][:, None] + self.transitions, 0) + row)
        for row in emissions[:0:-1]:
            backward.append(log_sum_exp(self.transitions + row + backward[-1], 1))
        total = log_sum_exp(forward[-1] + self.end, 0)
        return np.exp(np.stack(forward) + np.stack(backward[::-1]) - total)


class LacTagger:
    """Reads model.onnx and pipeline.json of `folder`."""

    def __init__(self, folder: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self.pipeline = json.loads((folder / "pipeline.json").read_text(encoding="utf8"))
        self.crf = Crf(*(np.array(self.pipeline["crf"][name]) for name in ("start", "end", "transitions")))
        segmenter = self.pipeline["segmenter"]
        self.segment = Segmenter(segmenter["words"], segmenter["logTotal"]).segment

    def units(self, text: str) -> list[str]:
        """Words of the vocabulary, and the characters of every other word."""
        vocabulary = self.pipeline["vocab"]
        return [unit for word in self.segment(text) for unit in ([word] if word in vocabulary else word)]

    def emissions(self, units: list[str]) -> np.ndarray:
        """[units, tags] float32."""
        vocabulary, replace = self.pipeline["vocab"], self.pipeline["replace"]
        unknown = vocabulary[self.pipeline["unknownWord"]]
        ids = [vocabulary.get(replace.get(unit, unit), unknown) for unit in units]
        feed = {"word_ids": np.array([ids], np.int64), "lengths": np.array([len(ids)], np.int32)}
        return self.session.run(None, feed)[0][0]

    def tag(self, text: str) -> list[tuple[str, str, float]]:
        """(character, tag, marginal probability of its unit's tag) per code point."""
        units = self.units(text)
        if not units:
            return []
        emissions = self.emissions(units).astype(np.float64)
        marginals = self.crf.marginals(emissions)
        tagged = []
        for row, (unit, index) in enumerate(zip(units, self.crf.best_path(emissions))):
            first = self.pipeline["tags"][index]
            for offset, character in enumerate(unit):
                tagged.append(
                    (character, first if offset == 0 else first[:-2] + "-I", float(marginals[row, index]))
                )
        return tagged

    def entities(self, text: str) -> list[dict]:
        """Entities in the Hugging Face shape. A span opens at a tag `X-B`, is named by its last tag, and its
        score is the mean of its characters' marginals."""
        spans = []
        at = 0
        for character, tag, probability in self.tag(text):
            width = utf16_length(character)
            if not spans or tag.endswith("B"):
                spans.append({"start": at, "word": "", "scores": []})
            span = spans[-1]
            span["word"] += character
            span["scores"].append(probability)
            span["tag"] = tag[:-2]
            span["end"] = at = at + width
        types = self.pipeline["entityTypes"]
        return [
            {
                "entity_group": types[span["tag"]],
                "score": sum(span["scores"]) / len(span["scores"]),
                "word": span["word"],
                "start": span["start"],
                "end": span["end"],
            }
            for span in spans
            if span["tag"] in types
        ]
