"""Writes requirements*.txt: exact versions and hashes of wheels, no addresses.

Every supported Python and processor is resolved on its own, by pip, without installing; what differs
between Pythons gets a marker.
"""

import json
import subprocess
import sys

from .cache import MODELS, RecipeError

DIRECT = {"requirements.txt": ["numpy", "onnx", "gguf", "pyyaml"]}
# The tests run the graphs of imported checkpoints.
DIRECT["requirements-test.txt"] = [*DIRECT["requirements.txt"], "onnxruntime"]
DIRECT["requirements-train.txt"] = [
    *DIRECT["requirements.txt"],
    *("jax", "optax", "onnxruntime", "scipy", "tokenizers"),
]
# What test vectors are made with: another implementation of the same thing, and a renderer of text.
DIRECT["requirements-reference.txt"] = ["numpy", "pyyaml", "onnx", "onnxruntime", "pillow", "spacy>=3.8,<3.9"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
PROCESSORS = ["x86_64", "aarch64"]
# glibc 2.28 is Debian 10's: older wheel tags are listed because pip does not derive them from newer ones.
GLIBC = [
    "manylinux_2_28",
    "manylinux_2_27",
    "manylinux_2_26",
    "manylinux_2_24",
    "manylinux_2_17",
    "manylinux2014",
]


def resolve(names: list[str], python: str, processor: str) -> dict[tuple[str, str], str]:
    """sha256 by (name, version) of the newest wheels that go together."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--report", "-", "--only-binary", ":all:", "--target", "unused", "--python-version", python]
    for tag in GLIBC:
        command += ["--platform", f"{tag}_{processor}"]
    result = subprocess.run([*command, *names], stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        raise RecipeError(f"pip found no set of wheels for Python {python} on {processor}: see above")
    hashes = {}
    for item in json.loads(result.stdout)["install"]:
        name = item["metadata"]["name"].lower().replace("_", "-")
        hashes[name, item["metadata"]["version"]] = item["download_info"]["archive_info"]["hashes"]["sha256"]
    return hashes


def marker(pythons: list[str]) -> str:
    if pythons == PYTHONS:
        return ""
    lowest, highest = pythons[0], pythons[-1]
    parts = [f'python_version >= "{lowest}"'] if lowest != PYTHONS[0] else []
    parts += [f'python_version <= "{highest}"'] if highest != PYTHONS[-1] else []
    return " ; " + " and ".join(parts)


def write() -> None:
    for file, names in DIRECT.items():
        hashes, pythons = {}, {}
        for python in PYTHONS:
            for processor in PROCESSORS:
                print(f"{file}: Python {python} on {processor}", flush=True)
                for package, sha256 in resolve(names, python, processor).items():
                    hashes.setdefault(package, set()).add(sha256)
                    pythons.setdefault(package, [])
                    pythons[package] += [python] if python not in pythons[package] else []
        lines = [f"# {', '.join(names)} and what they need. Made by `models/build lock`; do not edit."]
        for package in sorted(hashes):
            entry = f"{package[0]}=={package[1]}{marker(pythons[package])}"
            lines.append(
                " \\\n".join([entry, *(f"    --hash=sha256:{digest}" for digest in sorted(hashes[package]))])
            )
        (MODELS / file).write_text("\n".join(lines) + "\n", encoding="utf8")
