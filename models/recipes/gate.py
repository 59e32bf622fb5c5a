"""The pre-gate: P(the edge model's answer is wrong), from features of the input alone.

    features [batch, 1047] (gate_features.py)
      linear, ReLU                      [batch, 18]: 16 that learn, two that shift by task type
      linear, sigmoid                   p_hard [batch, 1]

Trained on items that the edge model did not see, with its own mistakes as labels: what is hard is what it gets
wrong. One network for all task types: the type is an input, and is hidden now and then in training, so that one
which it never saw is judged by the rest. The last layer is scaled and shifted on validation items (Platt 1999),
which calibrates it; each type has a shift of its own, since a common one made the rarely wrong type worse.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bigrams import minimize_logistic
from .cache import MODELS
from .gate_features import LANGUAGES, LENGTH, NUMBERS, TYPES, VERSION
from .json_files import write_json
from .onnx_graph import FLOAT, GraphBuilder

COMMITTED = MODELS / "gate"
HIDDEN, EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 16, 60, 128, 3e-3, 0.5
DROPOUT, TYPE_DROPOUT = 0.5, 0.2
# The bag of n-grams has length one; a network of this size learns from it sooner when it is larger.
BAG_SCALE = 10.0
RESAMPLES = 1000
_TYPE_COLUMNS = slice(NUMBERS + len(LANGUAGES), NUMBERS + len(LANGUAGES) + len(TYPES))


@dataclass(frozen=True)
class Judged:
    """Inputs [rows, LENGTH] and whether the edge model was wrong [rows]."""

    features: np.ndarray
    is_hard: np.ndarray

    def __add__(self, other: "Judged") -> "Judged":
        return Judged(
            np.concatenate([self.features, other.features]), np.concatenate([self.is_hard, other.is_hard])
        )


def train(rows: Judged, validation: Judged, seed: int) -> dict[str, np.ndarray]:
    """Parameters of the epoch with the least log loss on `validation`, not calibrated."""
    import jax
    import jax.numpy as jnp
    import optax

    rng = np.random.default_rng(seed)
    scale = np.ones(LENGTH, np.float32)
    scale[_TYPE_COLUMNS.stop :] = BAG_SCALE
    parameters = {
        "hidden": rng.normal(0, 0.1, (LENGTH, HIDDEN)).astype(np.float32),
        "hidden_bias": np.zeros(HIDDEN, np.float32),
        "output": rng.normal(0, 0.2, (HIDDEN, 1)).astype(np.float32),
        "output_bias": np.zeros(1, np.float32),
    }
    optimizer = optax.adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    state = optimizer.init(parameters)

    def logits_of(parameters, features):
        hidden = jax.nn.relu(features @ parameters["hidden"] + parameters["hidden_bias"])
        return (hidden @ parameters["output"] + parameters["output_bias"])[:, 0]

    def loss_of(parameters, features, is_hard, key):
        bag_key, type_key = jax.random.split(key)
        kept = jax.random.bernoulli(bag_key, 1 - DROPOUT, features.shape) / (1 - DROPOUT)
        kept = kept.at[:, : _TYPE_COLUMNS.stop].set(1.0)
        known = jax.random.bernoulli(type_key, 1 - TYPE_DROPOUT, (len(features), 1))
        kept = kept.at[:, _TYPE_COLUMNS].multiply(known)
        return optax.sigmoid_binary_cross_entropy(logits_of(parameters, features * kept), is_hard).mean()

    @jax.jit
    def step(parameters, state, features, is_hard, key):
        gradients = jax.grad(loss_of)(parameters, features, is_hard, key)
        updates, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state

    @jax.jit
    def loss_without_dropout(parameters, features, is_hard):
        return optax.sigmoid_binary_cross_entropy(logits_of(parameters, features), is_hard).mean()

    features, held_out = rows.features * scale, validation.features * scale
    key, best = jax.random.PRNGKey(seed), (np.inf, parameters)
    for _ in range(EPOCHS):
        order = rng.permutation(len(features))
        for at in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[at : at + BATCH]
            key, step_key = jax.random.split(key)
            parameters, state = step(parameters, state, features[chosen], rows.is_hard[chosen], step_key)
        loss = float(loss_without_dropout(parameters, held_out, validation.is_hard))
        if loss < best[0]:
            best = loss, jax.tree.map(np.array, parameters)
    # As float16 in the file: judged as it will be run.
    return best[1] | {"hidden": (best[1]["hidden"] * scale[:, None]).astype(np.float16).astype(np.float32)}


def calibrated(raw: dict[str, np.ndarray], validation: Judged) -> dict[str, np.ndarray]:
    """Scaled in common and shifted by task type."""
    scores, types = logits(raw, validation.features), validation.features[:, _TYPE_COLUMNS]
    seen = np.flatnonzero(types.any(0))
    design = np.concatenate([scores[:, None], types[:, seen]], 1)
    factor, *shifts = minimize_logistic(design, validation.is_hard.astype(int), penalty=1e-3)
    return shifted(raw, factor, dict(zip(seen, shifts)))


def shifted(raw: dict[str, np.ndarray], factor: float, shifts: dict[int, float]) -> dict[str, np.ndarray]:
    """`raw` scaled and shifted by the index of the type; by the mean of the shifts for a type that has none."""
    mean = np.mean(list(shifts.values()))
    by_type = np.zeros((LENGTH, 1), np.float32)
    for index, shift in shifts.items():
        by_type[_TYPE_COLUMNS.start + index] = shift - mean
    ups_and_downs = np.concatenate([np.maximum(by_type, 0), np.maximum(-by_type, 0)], 1)
    return {
        "hidden": np.concatenate([raw["hidden"], ups_and_downs.astype(np.float16)], 1),
        "hidden_bias": np.concatenate([raw["hidden_bias"], np.zeros(2, np.float32)]),
        "output": np.concatenate([raw["output"] * factor, [[1], [-1]]]).astype(np.float32),
        "output_bias": (raw["output_bias"] * factor + mean).astype(np.float32),
    }


def logits(parameters: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    hidden = np.maximum(0, features @ parameters["hidden"] + parameters["hidden_bias"])
    return (hidden @ parameters["output"] + parameters["output_bias"])[:, 0]


def write(parameters: dict[str, np.ndarray], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    graph = GraphBuilder("gate")
    graph.input("features", FLOAT, ["batch", LENGTH])
    stored = graph.constant("hidden.fp16", parameters["hidden"].astype(np.float16))
    hidden = graph.node("Cast", [stored], "hidden", to=FLOAT)
    bias = graph.constant("hidden_bias", parameters["hidden_bias"])
    active = graph.node("Relu", [graph.node("Gemm", ["features", hidden, bias], "hidden.sum")], "active")
    output = graph.constant("output", parameters["output"])
    logit = graph.node("Gemm", [active, output, graph.constant("output_bias", parameters["output_bias"])], "logit")
    graph.node("Sigmoid", [logit], graph.output("p_hard", FLOAT, ["batch", 1]))
    graph.save(folder / "model.onnx")
    pipeline = {"kind": "gate-features", "features": VERSION, "input": "features", "output": "p_hard"}
    write_json(pipeline, folder / "pipeline.json")


def figures(raw: dict[str, np.ndarray], network: dict[str, np.ndarray], judged: Judged) -> dict[str, float]:
    """On held-out rows: share that is hard, area under the ROC curve, ECE in ten bins before and after calibration,
    and what the default threshold does: the share that it escalates, and how much of that is hard."""
    return _figures(logits(raw, judged.features), logits(network, judged.features), judged.is_hard)


def intervals(
    raw: dict[str, np.ndarray], network: dict[str, np.ndarray], judged: Judged
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the figures: rows drawn anew with replacement, RESAMPLES times (Efron's percentiles)."""
    before, after = logits(raw, judged.features), logits(network, judged.features)
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, len(after), len(after)) for _ in range(RESAMPLES)]
    found = [_figures(before[rows], after[rows], judged.is_hard[rows]) for rows in drawn]
    return {key: tuple(np.nanpercentile([one[key] for one in found], [2.5, 97.5])) for key in found[0]}


def _figures(before: np.ndarray, after: np.ndarray, is_hard: np.ndarray) -> dict[str, float]:
    escalated = after >= 0
    return {
        "n": len(is_hard),
        "hard": float(is_hard.mean()),
        "AUC": area_under_curve(after, is_hard),
        "ECE before": calibration_error(before, is_hard),
        "ECE after": calibration_error(after, is_hard),
        "at .5: escalated": float(escalated.mean()),
        "at .5: hard among them": float(is_hard[escalated].mean()) if escalated.any() else float("nan"),
    }


def calibration_error(scores: np.ndarray, is_hard: np.ndarray) -> float:
    probabilities = 1 / (1 + np.exp(-scores))
    bins = np.minimum((probabilities * 10).astype(int), 9)
    return sum(abs((probabilities - is_hard)[bins == one].sum()) for one in range(10)) / len(scores)


def area_under_curve(scores: np.ndarray, is_hard: np.ndarray) -> float:
    """Chance that a hard item scores higher than an easy one."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    hard = int(is_hard.sum())
    return float((ranks[is_hard == 1].sum() - hard * (hard + 1) / 2) / (hard * (len(scores) - hard)))
