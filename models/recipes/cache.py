"""Where things lie: the cache outside the checkout, and the blob store that the file server reads."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent
CACHE = Path(
    os.environ.get("AUTOGLM_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoglm"
)
DOWNLOADS = CACHE / "downloads"
BUILT = CACHE / "models" / "built"
BLOBS = CACHE / "models" / "blobs" / "sha256"


class RecipeError(Exception):
    """Something the person at the terminal can mend; the message says how."""


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def store_blob(path: Path, digest: str) -> None:
    """Copies `path` to its place in the blob store; a reader never sees half a file."""
    target = BLOBS / digest
    if target.exists() and target.stat().st_size == path.stat().st_size:
        return
    BLOBS.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=BLOBS, prefix=".partial-")
    os.close(descriptor)
    try:
        shutil.copyfile(path, partial)
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise
