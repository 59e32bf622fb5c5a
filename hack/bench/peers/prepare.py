#!/usr/bin/env python3
"""Prepares the other model servers for the serving benchmark. The standard library is all that this file needs.

    hack/bench/peers/prepare.py         installs the servers, makes the models; prints where they are, as JSON
    hack/bench/peers/prepare.py lock    rewrites requirements-*.txt with the newest wheels

Everything lies in the cache (AUTOGLM_CACHE, default ~/.cache/autoglm); a second run only looks.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

PEERS = Path(__file__).resolve().parent
MODELS = PEERS.parents[2] / "models"
CACHE = Path(
    os.environ.get("AUTOGLM_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoglm"
)
# The version of onnxruntime-node, so that every side runs the same kernels. It has no wheel for Python 3.10.
RUNTIME = "onnxruntime==1.30.0"
# KServe has no complete set of wheels for aarch64.
PROCESSOR = "x86_64"
# MLServer wants an older FastAPI than the others, has no release for Python 3.13, and does not start with uvloop
# 0.22 or newer ("There is no current event loop"): hence its own environment and the one pin that it needs.
ENVIRONMENTS = {
    "servers": {
        "names": ["fastapi", "uvicorn", "uvloop", "httptools", "orjson", "kserve", "bentoml", "litserve"]
        + ["onnx", "numpy", RUNTIME],
        "pythons": ["3.11", "3.12", "3.13"],
    },
    "mlserver": {
        "names": ["mlserver>=1.7", "uvloop<0.22", "numpy", RUNTIME],
        "pythons": ["3.11", "3.12"],
    },
}
MADE_FROM = ["make_models.py"]
RECIPES = ["recipes/bert.py", "recipes/minilm.py", "recipes/onnx_graph.py", "sources.txt"]


def say(line: str) -> None:
    print(f"[peers] {line}", file=sys.stderr, flush=True)


def environment_for(name: str) -> Path | None:
    """The python of a virtual environment with the pinned packages, made on first use."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pythons = ENVIRONMENTS[name]["pythons"]
    if platform.machine() != PROCESSOR:
        say(f"{name}: has wheels for {PROCESSOR} alone, this is {platform.machine()}; its servers are not measured")
        return None
    if version not in pythons:
        say(f"{name}: needs Python {' or '.join(pythons)}, this is {version}; its servers are not measured")
        return None
    requirements = PEERS / f"requirements-{name}.txt"
    identity = f"{version} {os.path.realpath(sys.executable)}\n".encode() + requirements.read_bytes()
    folder = CACHE / "venv" / f"peers-{name}-{hashlib.sha256(identity).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    packages = requirements.read_text(encoding="utf8").count("==")
    say(f"{name}: installing {packages} packages of hack/bench/peers/{requirements.name}, once ...")
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:"]
    command += ["--require-hashes", "-r", str(requirements)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as install:
        for line in install.stdout or ():
            if line.startswith(("Collecting", "Installing")):
                say(f"  {line.split(' (from')[0].strip()[:100]}")
    if install.returncode != 0:
        say(f"{name}: pip could not install it (its message is above); its servers are not measured")
        return None
    (folder / "complete").touch()
    say(f"{name}: {time.monotonic() - started:.0f} s")
    return python


def models_with(python: Path) -> Path:
    """The folder of the benchmark's models and request bodies, made on first use."""
    digest = hashlib.sha256()
    for path in [*(PEERS / name for name in MADE_FROM), *(MODELS / name for name in RECIPES)]:
        digest.update(path.read_bytes())
    folder = CACHE / "bench" / digest.hexdigest()[:16]
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say("models: tiny (512 → 128 → 3) and MiniLM from its weights, once ...")
    environment = {**os.environ, "AUTOGLM_CACHE": str(CACHE), "PYTHONPATH": str(MODELS)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    made = subprocess.run(
        [str(python), str(PEERS / "make_models.py"), str(folder)], env=environment, stdout=sys.stderr
    )
    if made.returncode != 0:
        sys.exit("hack/bench/peers: the models could not be made; the message is above")
    (folder / "complete").touch()
    return folder


def lock() -> None:
    sys.path.insert(0, str(MODELS))
    from recipes import lock as recipes_lock

    for name, environment in ENVIRONMENTS.items():
        names, recipes_lock.PYTHONS = environment["names"], environment["pythons"]
        hashes: dict[tuple[str, str], set[str]] = {}
        pythons: dict[tuple[str, str], list[str]] = {}
        for python in environment["pythons"]:
            say(f"{name}: Python {python}")
            for package, sha256 in recipes_lock.resolve(names, python, PROCESSOR).items():
                hashes.setdefault(package, set()).add(sha256)
                pythons.setdefault(package, []).append(python)
        lines = [f"# {', '.join(names)} and what they need. Made by `prepare.py lock`; do not edit."]
        for package in sorted(hashes):
            entry = f"{package[0]}=={package[1]}{recipes_lock.marker(pythons[package])}"
            lines.append(
                " \\\n".join([entry, *(f"    --hash=sha256:{digest}" for digest in sorted(hashes[package]))])
            )
        (PEERS / f"requirements-{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf8")


def main() -> None:
    if sys.argv[1:] == ["lock"]:
        lock()
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    (CACHE / "bench").mkdir(parents=True, exist_ok=True)
    # Two runs over one cache: the second waits and then finds the work done.
    with (CACHE / "bench" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        servers, mlserver = environment_for("servers"), environment_for("mlserver")
        if servers is None:
            sys.exit("hack/bench/peers: without these packages there is nothing to compare with")
        folder = models_with(servers)
    print(json.dumps({"servers": str(servers), "mlserver": mlserver and str(mlserver), "models": str(folder)}))


main()
