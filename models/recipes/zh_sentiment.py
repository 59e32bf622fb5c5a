"""Chinese sentiment: a character TextCNN and a bag of character pairs, trained on reviews, written as ONNX.

    char_ids [batch, length] int64      0 pads, 1 stands for a character outside the vocabulary
      embedding (fp16 table)            [batch, length, 96]
      + 4 zero columns at the end       so that each filter always sees padding once, and the answer does
                                        not depend on how far a batch is padded
      convolutions of width 2, 3, 4     96 filters each, ReLU, maximum over positions -> [batch, 288]
      linear                            deep logits [batch, 2]
    char_ids -> weights of characters and of hashed pairs (bigrams.py), summed -> wide score [batch, 1]
    sum of both, softmax                probabilities [batch, 2]: negative, positive

The halves are trained apart; two factors fitted on the validation split weigh them against each other,
which calibrates the probabilities too.
Source of the deep half: Kim 2014, "Convolutional Neural Networks for Sentence Classification".
"""

import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from . import bigrams
from .cache import MODELS
from .json_files import write_json
from .onnx_graph import FLOAT, INT64, GraphBuilder
from .reviews import LABELS, Review, normalize

COMMITTED = MODELS / "zh-sentiment"
PAD, UNKNOWN = 0, 1
MAX_LENGTH = 256
EMBEDDING, FILTERS, WIDTHS = 96, 96, (2, 3, 4)
TAIL = max(WIDTHS)
VOCABULARY_LIMIT = 4500
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 10, 128, 3e-3, 1e-2
CHARACTER_DROPOUT, FEATURE_DROPOUT, LABEL_SMOOTHING = 0.3, 0.5, 0.1


def vocabulary_of(reviews: list[Review]) -> dict[str, int]:
    """Characters seen at least twice, the most frequent first (ties by code point)."""
    counts = Counter(character for review in reviews for character in normalize(review.text))
    frequent = sorted((item for item in counts.items() if item[1] > 1), key=lambda item: (-item[1], item[0]))
    return {character: index + 2 for index, (character, _) in enumerate(frequent[:VOCABULARY_LIMIT])}


def encode(text: str, vocabulary: dict[str, int]) -> list[int]:
    """Ids of at most MAX_LENGTH characters (code points); at least one id, for the empty text the pad."""
    ids = [vocabulary.get(character, UNKNOWN) for character in normalize(text)[:MAX_LENGTH]]
    return ids or [PAD]


def encode_all(reviews: list[Review], vocabulary: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ids [reviews, MAX_LENGTH + TAIL] int32, padded, and labels [reviews]."""
    ids = np.zeros((len(reviews), MAX_LENGTH + TAIL), np.int32)
    for row, review in enumerate(reviews):
        encoded = encode(review.text, vocabulary)
        ids[row, : len(encoded)] = encoded
    return ids, np.array([review.label for review in reviews])


def initial_parameters(vocabulary_size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    def normal(*shape, scale):
        return rng.normal(0, scale, shape).astype(np.float32)

    features = FILTERS * len(WIDTHS)
    parameters = {
        "embedding": normal(vocabulary_size, EMBEDDING, scale=0.1),
        "output": normal(features, len(LABELS), scale=0.05),
        "output_bias": np.zeros(len(LABELS), np.float32),
    }
    for width in WIDTHS:
        parameters[f"filter{width}"] = normal(
            width, EMBEDDING, FILTERS, scale=(2 / (width * EMBEDDING)) ** 0.5
        )
        parameters[f"bias{width}"] = np.zeros(FILTERS, np.float32)
    return parameters


def logits_of(parameters, ids, key=None):
    """Logits [batch, 2] of ids [batch, length]; with `key`, drops characters and features."""
    import jax
    import jax.numpy as jnp

    embedded = parameters["embedding"][ids] * (ids != PAD)[..., None]
    if key is not None:
        character_key, feature_key = jax.random.split(key)
        kept = jax.random.bernoulli(character_key, 1 - CHARACTER_DROPOUT, (*ids.shape, 1))
        embedded = embedded * kept / (1 - CHARACTER_DROPOUT)
    features = []
    for width in WIDTHS:
        positions = ids.shape[1] - width + 1
        windows = jnp.concatenate([embedded[:, at : at + positions] for at in range(width)], -1)
        responses = windows @ parameters[f"filter{width}"].reshape(width * EMBEDDING, FILTERS)
        features.append(jax.nn.relu(responses + parameters[f"bias{width}"]).max(1))
    features = jnp.concatenate(features, -1)
    if key is not None:
        kept = jax.random.bernoulli(feature_key, 1 - FEATURE_DROPOUT, features.shape)
        features = features * kept / (1 - FEATURE_DROPOUT)
    return features @ parameters["output"] + parameters["output_bias"]


def batches_of_like_length(lengths: np.ndarray, rng: np.random.Generator):
    """Row numbers [BATCH] and the padded length (a multiple of 64) of each batch, in random order."""
    order = np.argsort(lengths + rng.uniform(-12, 12, len(lengths)))
    order = np.delete(order, rng.choice(len(order), len(order) % BATCH, replace=False))
    batches = order.reshape(-1, BATCH)
    for rows in rng.permutation(batches):
        yield rows, -(-int(lengths[rows].max()) // 64) * 64 + TAIL


def train(splits: dict[str, list[Review]], seed: int, folder: Path) -> float:
    """Trains one seed, keeps its best epoch on the validation split, writes model.onnx and pipeline.json
    to `folder`, and returns the validation accuracy of the whole."""
    import jax
    import optax

    rng = np.random.default_rng(seed)
    vocabulary = vocabulary_of(splits["train"])
    ids, labels = encode_all(splits["train"], vocabulary)
    validation_ids, validation_labels = encode_all(splits["validation"], vocabulary)
    lengths = (ids != PAD).sum(1)
    parameters = initial_parameters(len(vocabulary) + 2, rng)
    schedule = optax.cosine_onecycle_schedule(EPOCHS * (len(ids) // BATCH), LEARNING_RATE)
    optimizer = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)
    state = optimizer.init(parameters)

    def loss_of(parameters, ids, labels, key):
        targets = optax.smooth_labels(jax.nn.one_hot(labels, len(LABELS)), LABEL_SMOOTHING)
        return optax.softmax_cross_entropy(logits_of(parameters, ids, key), targets).mean()

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(parameters, state, ids, labels, key):
        loss, gradients = jax.value_and_grad(loss_of)(parameters, ids, labels, key)
        updates, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state, loss

    predict = jax.jit(logits_of)
    key, best, started = jax.random.PRNGKey(seed), (0.0, None, None), time.monotonic()
    for epoch in range(EPOCHS):
        losses = []
        for rows, length in batches_of_like_length(lengths, rng):
            key, step_key = jax.random.split(key)
            parameters, state, loss = step(parameters, state, ids[rows, :length], labels[rows], step_key)
            losses.append(loss)
        chunks = range(0, len(validation_ids), 256)
        logits = np.concatenate([predict(parameters, validation_ids[at : at + 256]) for at in chunks])
        accuracy = float((logits.argmax(1) == validation_labels).mean())
        figures = f"loss {np.mean(losses):.3f}, validation {accuracy:.4f}, {time.monotonic() - started:.0f} s"
        print(f"  seed {seed} epoch {epoch + 1}/{EPOCHS}: {figures}", flush=True)
        if accuracy > best[0]:
            best = accuracy, jax.tree.map(np.array, parameters), logits[:, 1] - logits[:, 0]
    _, parameters, deep_scores = best
    wide = bigrams.fit(
        [encode(review.text, vocabulary) for review in splits["train"]], labels, len(vocabulary) + 2
    )
    wide_scores = bigrams.scores_of(
        wide, [encode(review.text, vocabulary) for review in splits["validation"]]
    )
    scores = np.stack([deep_scores, wide_scores], 1)
    factors = bigrams.minimize_logistic(scores, validation_labels, penalty=0)
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(weigh(parameters, factors[0]), wide.scaled(factors[1]), folder / "model.onnx")
    write_pipeline(vocabulary, folder / "pipeline.json")
    return float(((scores @ factors > 0) == validation_labels).mean())


def weigh(parameters: dict[str, np.ndarray], factor: float) -> dict[str, np.ndarray]:
    """The same network with its logits times `factor`."""
    ends = {name: (parameters[name] * factor).astype(np.float32) for name in ("output", "output_bias")}
    return parameters | ends


def wide_score(graph: GraphBuilder, ids: str, wide: bigrams.Wide) -> str:
    """[batch, length + TAIL] -> [batch, 1]; what touches padding weighs nothing."""

    def at(name, value):
        return graph.constant(name, np.array([value], np.int64))

    def weights_of(table, indices, name):
        rows = graph.node(
            "Gather", [graph.constant(f"{name}.fp16", table.astype(np.float16)), indices], f"{name}.rows"
        )
        return graph.node("Cast", [rows], f"{name}.weights", to=FLOAT)

    axis, pad = at("axis", 1), graph.constant("pad_id", np.int64(PAD))
    characters = wide.characters.copy()
    characters[PAD] = 0
    total = graph.node(
        "ReduceSum", [weights_of(characters, ids, "character"), axis], "character.sum", keepdims=1
    )
    first = graph.node("Slice", [ids, at("zero", 0), at("before_last", -1), axis], "pair.first")
    second = graph.node("Slice", [ids, axis, at("end", np.iinfo(np.int64).max), axis], "pair.second")
    spread = graph.node("Mul", [first, graph.constant("spread", np.int64(bigrams.SPREAD))], "pair.spread")
    mixed = graph.node("Add", [spread, second], "pair.mixed")
    bucket = graph.node("Mod", [mixed, graph.constant("buckets", np.int64(bigrams.BUCKETS))], "pair.bucket")
    inside = graph.node("Cast", [graph.node("Greater", [second, pad], "pair.inside")], "pair.mask", to=FLOAT)
    kept = graph.node("Mul", [weights_of(wide.pairs, bucket, "pair"), inside], "pair.kept")
    pairs = graph.node("ReduceSum", [kept, axis], "pair.sum", keepdims=1)
    both = graph.node("Add", [total, pairs], "wide.sum")
    return graph.node("Add", [both, graph.constant("wide.bias", np.float32(wide.bias))], "wide")


def write_onnx(parameters: dict[str, np.ndarray], wide: bigrams.Wide, path: Path) -> None:
    """Weights are stored as fp16 and computed with as fp32."""
    graph = GraphBuilder("zh_sentiment")
    graph.input("char_ids", INT64, ["batch", "length"])

    def widened(name, value):
        return graph.node("Cast", [graph.constant(f"{name}.fp16", value.astype(np.float16))], name, to=FLOAT)

    table = parameters["embedding"].copy()
    table[PAD] = 0
    ends = graph.constant("tail", np.array([0, 0, 0, TAIL], np.int64))
    padded = graph.node("Pad", ["char_ids", ends, graph.constant("pad_id", np.int64(PAD))], "padded_ids")
    rows = graph.node("Gather", [graph.constant("embedding.fp16", table.astype(np.float16)), padded], "rows")
    embedded = graph.node("Cast", [rows], "embedded", to=FLOAT)
    channels = graph.node("Transpose", [embedded], "channels", perm=[0, 2, 1])
    pooled = []
    for width in WIDTHS:
        filters = widened(f"filter{width}", parameters[f"filter{width}"].transpose(2, 1, 0))
        bias = graph.constant(f"bias{width}", parameters[f"bias{width}"])
        responses = graph.node("Conv", [channels, filters, bias], f"conv{width}", kernel_shape=[width])
        active = graph.node("Relu", [responses], f"relu{width}")
        pooled.append(graph.node("ReduceMax", [active], f"pool{width}", axes=[2], keepdims=0))
    features = graph.node("Concat", pooled, "features", axis=1)
    output = graph.constant("output", parameters["output"])
    deep = graph.node(
        "Gemm", [features, output, graph.constant("output_bias", parameters["output_bias"])], "deep"
    )
    signs = graph.constant("signs", np.array([[-0.5, 0.5]], np.float32))
    shallow = graph.node("MatMul", [wide_score(graph, padded, wide), signs], "shallow")
    logits = graph.node("Add", [deep, shallow], "logits")
    graph.node("Softmax", [logits], graph.output("probabilities", FLOAT, ["batch", len(LABELS)]), axis=-1)
    graph.save(path)


def write_pipeline(vocabulary: dict[str, int], path: Path) -> None:
    pipeline = {
        "kind": "char-cnn-classifier",
        "labels": LABELS,
        "maxLength": MAX_LENGTH,
        "minLength": 1,
        "padId": PAD,
        "unknownId": UNKNOWN,
        "normalization": "nfkc-lower-squeeze",
        "input": "char_ids",
        "output": "probabilities",
        "vocab": vocabulary,
    }
    write_json(pipeline, path)
