"""The wide half of zh-sentiment: a logistic regression over characters and hashed pairs of characters.

A text's features are the counts of its characters and of its neighbouring pairs; pair (a, b) lies in
bucket (a * SPREAD + b) mod BUCKETS, which the graph computes too. Each feature is scaled by its
naive-Bayes log-count ratio before the regression, as in Wang & Manning 2012, "Baselines and Bigrams".
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

BUCKETS = 262_139  # a prime near 2^18
SPREAD = 4513
PENALTY = 10.0


@dataclass(frozen=True)
class Wide:
    """`characters` [vocabulary] and `pairs` [BUCKETS] are weights towards `positive`; `bias` a number."""

    characters: np.ndarray
    pairs: np.ndarray
    bias: float

    def scaled(self, factor: float) -> "Wide":
        return Wide(self.characters * factor, self.pairs * factor, self.bias * factor)


def pair_buckets(ids: list[int]) -> np.ndarray:
    row = np.array(ids, np.int64)
    return (row[:-1] * SPREAD + row[1:]) % BUCKETS


def features_of(texts: list[list[int]], vocabulary_size: int, known_pairs: set | None = None):
    """Sparse counts [texts, vocabulary_size + BUCKETS]; with `known_pairs`, of those pairs alone."""
    from scipy.sparse import csr_matrix

    rows, columns = [], []
    for row, ids in enumerate(texts):
        pairs = pair_buckets(ids)
        if known_pairs is not None:
            kept = [pair in known_pairs for pair in zip(ids, ids[1:])]
            pairs = pairs[np.array(kept, bool)]
        found = [*ids, *(pairs + vocabulary_size)]
        rows += [row] * len(found)
        columns += found
    shape = (len(texts), vocabulary_size + BUCKETS)
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def minimize_logistic(features, labels: np.ndarray, penalty: float) -> np.ndarray:
    """Weights [columns] that minimise sum log(1 + exp(-sign * features @ w)) + penalty / 2 * |w|^2."""
    from scipy.optimize import minimize

    signs = 2 * labels - 1

    def loss(weights):
        margins = signs * (features @ weights)
        slopes = -signs / (1 + np.exp(np.clip(margins, -500, 500)))
        value = np.logaddexp(0, -margins).sum() + penalty / 2 * weights @ weights
        return value, features.T @ slopes + penalty * weights

    return minimize(
        loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300}
    ).x


def fit(texts: list[list[int]], labels: np.ndarray, vocabulary_size: int) -> Wide:
    """A pair seen in one text alone says nothing but that text's label: it is left out."""
    counts = Counter(pair for ids in texts for pair in set(zip(ids, ids[1:])))
    features = features_of(texts, vocabulary_size, {pair for pair, count in counts.items() if count > 1})
    positive, negative = (1 + (features[labels == label] > 0).sum(0).A1 for label in (1, 0))
    ratios = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    from scipy.sparse import diags, hstack

    scaled = hstack([features @ diags(ratios), np.ones((len(texts), 1))]).tocsr()
    weights = minimize_logistic(scaled, labels, PENALTY)
    learned = weights[:-1] * ratios
    return Wide(learned[:vocabulary_size], learned[vocabulary_size:], float(weights[-1]))


def scores_of(wide: Wide, texts: list[list[int]]) -> np.ndarray:
    """Log odds of `positive` [texts]."""
    features = features_of(texts, len(wide.characters))
    return features @ np.concatenate([wide.characters, wide.pairs]) + wide.bias
