"""Tests of what the gate's recipe can get wrong in silence. Run by `models/build test`."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

from . import gate, gate_features, ngrams


class Features(unittest.TestCase):
    def test_one_symbol_has_no_entropy_and_nothing_has_none(self):
        self.assertEqual([gate_features.entropy_of(text) for text in ("", "啊", "啊啊啊")], [0, 0, 0])
        self.assertEqual(gate_features.entropy_of("abcd"), 2)

    def test_language_goes_by_script(self):
        texts = ["房间很大", "很好very", "быстро", "123", ""]
        languages = [gate_features.language_of(text) for text in texts]
        self.assertEqual(languages, ["zh", "en", "other", "none", "none"])

    def test_a_text_is_looked_at_from_its_beginning(self):
        page = "第一页" * 1400
        self.assertEqual(gate_features.beginning_of("\u3000" + page), page[: gate_features.LOOKED_AT])


class Calibration(unittest.TestCase):
    def test_each_type_has_its_own_shift_and_an_unseen_one_their_mean(self):
        rng = np.random.default_rng(7)
        raw = {
            "hidden": rng.normal(0, 0.1, (gate_features.LENGTH, gate.HIDDEN)).astype(np.float32),
            "hidden_bias": np.ones(gate.HIDDEN, np.float32),
            "output": rng.normal(0, 0.2, (gate.HIDDEN, 1)).astype(np.float32),
            "output_bias": np.zeros(1, np.float32),
        }
        types = ("text-classification", "token-classification", "summarization")
        rows = np.stack([gate_features.vector_of("房间很大", task_type) for task_type in types])
        network = gate.shifted(raw, 1.5, {0: 0.75, 2: -0.5})
        wanted = gate.logits(raw, rows) * 1.5 + [0.75, -0.5, 0.125]
        np.testing.assert_allclose(gate.logits(network, rows), wanted, atol=1e-3)


class Ngrams(unittest.TestCase):
    def test_the_graph_weighs_runs_of_characters_however_far_a_row_is_padded(self):
        from onnx.reference import ReferenceEvaluator

        vocabulary = {character: index + 2 for index, character in enumerate("很好差的")}
        rng = np.random.default_rng(7)
        for longest in (1, 3):
            size = len(vocabulary) + 2 + (longest - 1) * ngrams.BUCKETS
            idf, weights = rng.uniform(0, 4, size), rng.normal(0, 1, size)
            idf[: ngrams.UNKNOWN + 1] = weights[: ngrams.UNKNOWN + 1] = 0
            model = ngrams.Ngrams(vocabulary, longest, idf, weights, 0.25)
            with tempfile.TemporaryDirectory() as folder:
                ngrams.write(model, Path(folder))
                graph = ReferenceEvaluator(str(Path(folder) / "model.onnx"))
            for text in ("很好很好", "差", "的差 x"):
                at = ngrams._buckets(text, vocabulary, longest)
                wanted = weights[at].sum() / np.sqrt((idf[at] ** 2).sum()) + 0.25
                ids = ngrams.encode(text, vocabulary)
                for padding in (0, 5):
                    row = np.array([ids + [ngrams.PAD] * padding], np.int64)
                    (negative, positive) = graph.run(None, {"char_ids": row})[0][0]
                    self.assertAlmostEqual(np.log(positive / negative), wanted, delta=0.02)
