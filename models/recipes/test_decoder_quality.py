"""Tests of what the measures of the decoder can get wrong in silence. Run by `models/build test`."""

import unittest

import numpy as np

from . import decoder_quality, gold
from .decoder_quality import Corpus, Ngrams


class Baselines(unittest.TestCase):
    def test_what_may_follow_any_context_sums_to_one(self):
        rows = [[1, 2, 3, 1, 2, 4], [2, 2, 3], [0]]
        for order in (1, 2, 3):
            model = Ngrams(order, 6).train(rows)
            for context in [(-1, -1), (1, 2), (5, 5), (2, 3)]:
                cut = context[len(context) - order + 1 :]
                self.assertAlmostEqual(sum(model.probability(cut, token) for token in range(6)), 1)

    def test_a_longer_context_tells_more_where_the_text_repeats_itself(self):
        rows = [[1, 2, 3, 4] * 20]
        bits = [Ngrams(order, 6).train(rows).bits([1, 2, 3, 4, 1, 2, 3, 4]) for order in (1, 2, 3)]
        self.assertLess(bits[1], bits[0] / 2)
        self.assertLess(bits[2], bits[0] / 2)

    def test_without_training_every_token_costs_the_same(self):
        self.assertAlmostEqual(Ngrams(3, 8).train([]).bits([0, 7, 3]), 9)


class Figures(unittest.TestCase):
    def test_bits_are_shared_out_over_bytes_and_tokens_of_all_texts(self):
        found = decoder_quality.figures_of(np.array([30.0, 10.0]), np.array([20, 20]), np.array([5, 5]))
        self.assertAlmostEqual(found.bits_per_byte, 1)
        self.assertAlmostEqual(found.perplexity, 16)
        self.assertLessEqual(found.bits_interval[0], 0.5)
        self.assertGreaterEqual(found.bits_interval[1], 1.5)

    def test_no_text_is_in_train_and_test(self):
        train, test = decoder_quality.without_copies(Corpus("", "en", ["A b.", "c", "c!"], ["a b", "d"]))
        self.assertEqual((train, test), (["c"], ["a b", "d"]))

    def test_texts_are_taken_at_even_distances(self):
        self.assertEqual(decoder_quality.every(list("abcdefgh"), 4), list("aceg"))
        self.assertEqual(decoder_quality.every(list("ab"), 4), list("ab"))


class Gold(unittest.TestCase):
    def test_labels_are_balanced_and_chosen_by_their_id(self):
        rows = [(f"{index:03}", f"text {index}", "ab"[index % 3 == 0]) for index in range(12)]
        chosen = gold.balanced(rows)
        self.assertEqual(sorted(label for _, label in chosen), ["a"] * 4 + ["b"] * 4)
        self.assertEqual(gold.balanced(rows[::-1]), chosen)
