"""The package of a model: graph, pipeline.json, tokenizer, and model.yaml, the AutoGLMModel that names them all."""

import math
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recipes.cache import sha256_of
from recipes.json_files import write_json

from .checkpoint import Checkpoint, open_checkpoint
from .decoder import DecoderGraph, pipeline_of
from .errors import ImportRefused
from .tokenizer import check_vocabulary, end_tokens, tokenizer_files
from .weights import PRECISIONS, PackedWeights
from .writer import EXTERNAL, StreamingGraph

# Beside the graph, weights are mapped instead of read: half the memory once loaded. One message of protobuf
# holds 2 GB at most in any case.
_LARGEST_INLINE_BYTES = 256 * 2**20
_MEBIBYTE = 2**20
# Node, ONNX Runtime and a tokenizer of 50,000 tokens: 150 MiB resident, measured; the rest is for a larger one.
_PROCESS_BYTES = 224 * _MEBIBYTE
# Tokens of a prompt that the agent runs at once: edge-agent/src/pipelines/kv-decoder-graph.ts.
_CHUNK = 128
# Of prompts together, and rows of a step.
_PREFILL, _ROWS = 512, 8
PROVIDERS = ("cpu", "cuda")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class ImportOptions:
    source: Path
    out: Path
    precision: str
    name: str | None
    context_length: int | None
    # What it is to run on: attention in half precision, the only one that CUDA has a kernel for.
    provider: str = "cpu"


def import_model(options: ImportOptions, say=lambda line: None) -> Path:
    """Writes the package to `out`, all of it or nothing. @raises ImportRefused"""
    checkpoint = open_checkpoint(options.source)
    if options.context_length is not None:
        checkpoint.architecture = checkpoint.architecture.with_context(options.context_length)
        checkpoint.layout.sizes = checkpoint.architecture
    sizes = checkpoint.architecture
    checkpoint.check()
    files = tokenizer_files(checkpoint)
    check_vocabulary(checkpoint, files)
    name = _model_name(options)
    if options.out.exists() and any(options.out.iterdir()):
        raise ImportRefused(f"{options.out} is not empty; give another folder with --out")
    weights = PackedWeights(checkpoint, options.precision)
    say(
        f"{sizes.name}: {sizes.layers} layers of {sizes.width}, {sizes.vocabulary} tokens, context {sizes.context}"
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    needed, free = weights.size_bytes(), shutil.disk_usage(options.out.parent).free
    if needed > free:
        raise ImportRefused(f"{options.out}: {_mebibytes(needed)} are needed, {_mebibytes(free)} are free")
    scratch = Path(tempfile.mkdtemp(dir=options.out.parent, prefix=".import-"))
    try:
        _write_graph(checkpoint, weights, options.provider, scratch, say)
        pipeline = pipeline_of(sizes, end_tokens(checkpoint, files))
        for file, value in {**files, "pipeline.json": pipeline}.items():
            write_json(value, scratch / file)
        say("digests")
        _write_manifest(checkpoint, options, name, scratch)
        scratch.chmod(0o755)
        if options.out.exists():
            options.out.rmdir()
        os.replace(scratch, options.out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return options.out


def _model_name(options: ImportOptions) -> str:
    stem = options.source.resolve().stem if options.source.is_file() else options.source.resolve().name
    name = options.name or re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.")
    if not _NAME.fullmatch(name):
        raise ImportRefused(
            f'"{name}" is no name of a model: lower-case letters, digits, - and .; give one with --name'
        )
    return name


def _write_graph(checkpoint: Checkpoint, weights: PackedWeights, provider: str, folder: Path, say) -> None:
    external = folder / EXTERNAL if weights.size_bytes() > _LARGEST_INLINE_BYTES else None
    graph, layers = StreamingGraph("decoder", external), checkpoint.architecture.layers
    decoder = DecoderGraph(checkpoint.architecture, weights, graph, half_attention=provider == "cuda")
    decoder.write(folder / "model.onnx", lambda done: say(f"layer {done} of {layers}"))


def memory_bytes(checkpoint: Checkpoint, weight_bytes: int, is_external: bool) -> int:
    """Weights + KV cache of a full context + what a run needs beside them.

    The factors are measured, at 2,000 tokens in a Node process: int4 of GLM-Edge-1.5B's shape (1,018 MB beside
    the graph) had 1,961 MiB at most, mapped pages of the file aside, which the system takes back when it needs
    them; SmolLM2's int4 (116 MB in the graph) 700 MiB. This says 2,026 and 717."""
    sizes = checkpoint.architecture
    # Repacked by the runtime; read through protobuf, twice.
    weights = weight_bytes * (1.15 if is_external else 2)
    # Itself, what the layers copy of it, and what the allocator keeps of these.
    cache = 2.75 * sizes.kv_bytes_per_token * sizes.context
    # Of one layer at a time: attention of a chunk to everything before it.
    attention = 4 * sizes.heads * _CHUNK * sizes.context
    activations = 4 * _PREFILL * (4 * sizes.width + 3 * sizes.feed_width) + _ROWS * 4 * sizes.vocabulary
    return int(weights + cache + attention + activations + _PROCESS_BYTES)


def _write_manifest(checkpoint: Checkpoint, options: ImportOptions, name: str, folder: Path) -> None:
    import yaml

    paths = sorted(path for path in folder.iterdir() if path.name != "model.yaml")
    weight_bytes = sum(path.stat().st_size for path in paths if path.name in ("model.onnx", EXTERNAL))
    memory = memory_bytes(checkpoint, weight_bytes, (folder / EXTERNAL).exists())
    manifest = {
        "apiVersion": "autoglm.io/v1alpha1",
        "kind": "AutoGLMModel",
        "metadata": {"name": name},
        "spec": {
            "description": f"{checkpoint.architecture.name} imported from {options.source.resolve().name}.",
            "taskTypes": ["text-generation"],
            "variants": [
                {
                    "name": options.precision + ("-cuda" if options.provider == "cuda" else ""),
                    "runtime": "onnx",
                    "precision": options.precision,
                    "memory": f"{math.ceil(memory / _MEBIBYTE / 16) * 16}Mi",
                    "contextLength": checkpoint.architecture.context,
                    "files": [
                        {"path": path.name, "sha256": sha256_of(path), "sizeBytes": path.stat().st_size}
                        for path in paths
                    ],
                }
            ],
        },
    }
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=110)
    (folder / "model.yaml").write_text(text, encoding="utf8")


def _mebibytes(size: int) -> str:
    return f"{math.ceil(size / _MEBIBYTE)} MiB"


__all__ = ["PRECISIONS", "PROVIDERS", "ImportOptions", "import_model", "memory_bytes"]
