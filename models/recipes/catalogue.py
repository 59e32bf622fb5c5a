"""catalogue.yaml: what the models are, and the digest of every file that a recipe must give."""

from collections.abc import Collection
from pathlib import Path

from .cache import BUILT, MODELS, RecipeError, sha256_of, store_blob

CATALOGUE = MODELS / "catalogue.yaml"


def load() -> list[dict]:
    import yaml

    return list(yaml.safe_load_all(CATALOGUE.read_text(encoding="utf8")))


def save(documents: list[dict]) -> None:
    import yaml

    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=110)
    CATALOGUE.write_text(text, encoding="utf8")


def folder_of(model: str, variant: str) -> Path:
    """Where the files of a variant are built, or committed."""
    committed = MODELS / model
    return committed if (committed / "model.onnx").exists() else BUILT / model / variant


def files_in(folder: Path) -> list[dict]:
    # Beside the files of a committed model lie its card and its test vectors.
    named = ["model.onnx", "pipeline.json", "tokenizer.json", "tokenizer_config.json"]
    graphs = sorted(path.name for path in folder.glob("*.onnx") if path.name not in named)
    paths = [folder / name for name in [*named, *graphs]]
    return [
        {"path": path.name, "sha256": sha256_of(path), "sizeBytes": path.stat().st_size}
        for path in paths
        if path.exists()
    ]


def names() -> list[str]:
    return [document["metadata"]["name"] for document in load()]


def publish(models: Collection[str], update: bool) -> None:
    """Puts every built file of `models` into the blob store, if its digest is the catalogue's. With `update`,
    the catalogue takes the digests of what was built instead."""
    documents = load()
    for document in documents:
        model = document["metadata"]["name"]
        if model not in models:
            continue
        for variant in document["spec"]["variants"]:
            folder = folder_of(model, variant["name"])
            built = files_in(folder)
            if update:
                variant["files"] = built
            elif built != variant["files"]:
                raise RecipeError(difference(f"{model}/{variant['name']}", variant["files"], built))
            for file in built:
                store_blob(folder / file["path"], file["sha256"])
    if update:
        save(documents)


def difference(name: str, wanted: list[dict], built: list[dict]) -> str:
    digests = {file["path"]: file["sha256"] for file in built}
    lines = [
        f"  {file['path']}: wanted {file['sha256']}, built {digests.get(file['path'], 'nothing')}"
        for file in wanted
        if digests.get(file["path"]) != file["sha256"]
    ]
    extra = sorted(digests.keys() - {file["path"] for file in wanted})
    lines += [f"  {path}: not in the catalogue" for path in extra]
    advice = "If the recipe was meant to change: models/build all --update, and commit the catalogue."
    return "\n".join([f"{name} is not what models/catalogue.yaml pins:", *lines, advice])
