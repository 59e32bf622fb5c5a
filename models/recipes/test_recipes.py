"""Tests of what a conversion can get wrong in silence. Run by `models/build test`."""

import io
import itertools
import json
import pickle
import struct
import unittest
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from . import bigrams, catalogue, en_ner, lock, msgpack, news, reviews, smollm2, vision, zh_ner, zh_sentiment
from .lac import Crf, Segmenter


class Reviews(unittest.TestCase):
    def test_normalization_folds_width_case_and_white_space(self):
        self.assertEqual(reviews.normalize("\u3000ＡＢＣ１２　很\t 好！\ufeff"), "abc12 很 好!")

    def test_texts_that_differ_in_punctuation_have_one_key(self):
        keys = {
            reviews.key_of(reviews.normalize(text)) for text in ("很好，推荐！", "很好, 推荐", "很好推荐。")
        }
        self.assertEqual(keys, {"很好推荐"})

    def test_the_empty_text_is_one_pad(self):
        self.assertEqual(zh_sentiment.encode(" ", {}), [zh_sentiment.PAD])

    def test_a_long_text_is_cut_and_an_unknown_character_is_marked(self):
        ids = zh_sentiment.encode("好" * 300 + "坏", {"好": 2})
        self.assertEqual(ids, [2] * zh_sentiment.MAX_LENGTH)
        self.assertEqual(zh_sentiment.encode("坏好", {"好": 2}), [zh_sentiment.UNKNOWN, 2])

    def test_the_order_of_a_pair_matters_and_one_character_has_none(self):
        self.assertNotEqual(bigrams.pair_buckets([5, 9])[0], bigrams.pair_buckets([9, 5])[0])
        self.assertEqual(len(bigrams.pair_buckets([5])), 0)


class Weights(unittest.TestCase):
    def test_q4_1_blocks_dequantize_as_gguf_does(self):
        from gguf import GGMLQuantizationType, dequantize

        rng = np.random.default_rng(7)
        blocks = rng.integers(0, 256, (3, 2, 20), np.uint8)
        blocks[..., :4] = rng.normal(0, 1, (3, 2, 2)).astype(np.float16).view(np.uint8).reshape(3, 2, 4)
        data = blocks.reshape(3, 40)
        quantized, scale, minimum = smollm2.unpack_q4_1(SimpleNamespace(data=data, shape=(64, 3)))
        values = (quantized * scale[..., None] + minimum[..., None]).reshape(3, 64)
        np.testing.assert_allclose(values, dequantize(data, GGMLQuantizationType.Q4_1), rtol=1e-6)

    def test_q8_0_blocks_dequantize_as_gguf_does(self):
        from gguf import GGMLQuantizationType, dequantize

        rng = np.random.default_rng(7)
        blocks = rng.integers(0, 256, (3, 2, 34), np.uint8)
        blocks[..., :2] = rng.normal(0, 1, (3, 2, 1)).astype(np.float16).view(np.uint8)
        data = blocks.reshape(3, 68)
        quantized, scale = smollm2.unpack_q8_0(SimpleNamespace(data=data, shape=(64, 3)))
        values = ((quantized.astype(np.float32) - 128) * scale[..., None]).reshape(3, 64)
        np.testing.assert_allclose(values, dequantize(data, GGMLQuantizationType.Q8_0), rtol=1e-6)

    def test_a_paddle_tensor_is_read_with_its_shape(self):
        values = np.arange(600, dtype=np.float32).reshape(300, 2)
        description = bytes([0x08, 5, 0x10, 0xAC, 0x02, 0x10, 2])
        content = bytes(16) + struct.pack("<i", len(description)) + description + values.tobytes()
        np.testing.assert_array_equal(zh_ner.parse_paddle_tensor(content), values)


class Tagging(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(3)
        self.crf = Crf(rng.normal(size=3), rng.normal(size=3), rng.normal(size=(3, 3)))
        self.emissions = rng.normal(size=(4, 3))

    def score(self, path):
        steps = sum(self.crf.transitions[a, b] for a, b in itertools.pairwise(path))
        ends = self.crf.start[path[0]] + self.crf.end[path[-1]]
        return ends + steps + sum(self.emissions[at, tag] for at, tag in enumerate(path))

    def test_the_best_path_is_the_best_of_all_paths(self):
        paths = itertools.product(range(3), repeat=4)
        self.assertEqual(tuple(self.crf.best_path(self.emissions)), max(paths, key=self.score))

    def test_marginals_are_the_sums_over_all_paths(self):
        expected = np.zeros((4, 3))
        for path in itertools.product(range(3), repeat=4):
            expected[range(4), path] += np.exp(self.score(path))
        expected /= expected.sum(1, keepdims=True)
        np.testing.assert_allclose(self.crf.marginals(self.emissions), expected)

    def test_longer_words_win_and_lone_letters_join(self):
        segment = Segmenter(["北京", "北京大学", "大学", "学生"], 10.0).segment
        self.assertEqual(segment("北京大学A1生"), ["北京大学", "A1", "生"])
        self.assertEqual(segment(""), [])

    def test_a_surname_and_the_given_name_after_it_are_one_person(self):
        sentence = news.parse_line("😀/w  江/nr  泽民/nr  在/p  [北京/ns  大学/n]nt  李鹏/nr")
        self.assertEqual(sentence.text, "😀江泽民在北京大学李鹏")
        self.assertEqual(sentence.names, [("PER", 2, 5), ("LOC", 6, 8), ("PER", 10, 12)])


class Pins(unittest.TestCase):
    def test_a_package_of_some_pythons_gets_a_marker(self):
        self.assertEqual(lock.marker(lock.PYTHONS), "")
        self.assertEqual(lock.marker(["3.10"]), ' ; python_version <= "3.10"')
        self.assertEqual(lock.marker(lock.PYTHONS[1:]), ' ; python_version >= "3.11"')

    def test_a_wrong_digest_is_told_with_both_digests(self):
        wanted = [{"path": "model.onnx", "sha256": "a" * 64, "sizeBytes": 1}]
        built = [{"path": "model.onnx", "sha256": "b" * 64, "sizeBytes": 1}]
        message = catalogue.difference("zh-ner/fp16", wanted, built)
        self.assertIn(f"model.onnx: wanted {'a' * 64}, built {'b' * 64}", message)


class Readers(unittest.TestCase):
    def test_a_pattern_means_the_same_in_ecmascript(self):
        self.assertEqual(en_ner.to_ecmascript(r"(?u)\'|\-|[\w\-\.]\d\U0001F600\u00A6"),
                         r"'|-|[\p{L}\p{N}_\-\.][\p{Nd}]\u{1F600}\u{A6}")
        with self.assertRaises(ValueError):
            en_ner.to_ecmascript(r"\bword")

    def test_messagepack_is_read_with_every_length_of_number_and_text(self):
        content = b"\x84\xa1a\xcd\x01\x00\xa1b\x93\xc0\xc3\xff\xc4\x01k\xcb?\xf8" + bytes(6)
        content += b"\xd9\x01d\xd3" + b"\xff" * 8
        self.assertEqual(msgpack.unpack(content), {"a": 256, "b": [None, True, -1], b"k": 1.5, "d": -1})
        with self.assertRaises(ValueError):
            msgpack.unpack(b"\xc7\x00\x01")

    def test_a_checkpoint_can_name_no_class(self):
        with self.assertRaises(pickle.UnpicklingError):
            vision._Unpickler(io.BytesIO(pickle.dumps(Path))).load()

    def test_a_name_that_two_classes_share_is_told_apart(self):
        self.assertEqual(vision.unique(["crane", "palace", "crane"]), ["crane", "palace", "crane (2)"])

    def test_moves_have_the_ids_that_the_parser_gives_them(self):
        labels = {str(number): {"ORG": 5, "GPE": 9} for number in range(1, 5)} | {"0": {}, "5": {"": 1}}
        packed = b"\x81\xa5moves\xd9" + bytes([len(json.dumps(labels))]) + json.dumps(labels).encode()
        self.assertEqual(en_ner.moves_of(packed)[:3], ["B-GPE", "B-ORG", "I-GPE"])
        self.assertEqual(en_ner.moves_of(packed)[-1], "O")
