"""English snippets with the mean sentiment of 20 people each (the data set of VADER, in vaderSentiment 3.3.2).

Four sources: posts, product reviews, film reviews, opinion articles. A text is known by its letters and digits;
equal ones are one text, and a hash of them decides the split, so that no text is in two splits.
Source: Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text".
"""

import hashlib
import html
import io
import tarfile
from dataclasses import dataclass

from .reviews import key_of, normalize
from .sources import read_members

SOURCES = {
    "post": "tweets",
    "product": "amazonReviewSnippets",
    "film": "movieReviewSnippets",
    "opinion": "nytEditorialSnippets",
}
_SHORTEST_KEY = 4


@dataclass(frozen=True)
class Snippet:
    """`rating` from -4 (most negative) to 4; `source` a key of SOURCES; `id` the head of the key's sha256."""

    id: str
    text: str
    rating: float
    source: str


def split_of(digest: str) -> str:
    return {0: "test", 1: "test", 2: "validation"}.get(int(digest[:8], 16) % 10, "train")


def load_snippets() -> dict[str, list[Snippet]]:
    """Splits `train` (7/10), `validation` (1/10), `test` (2/10), each in the order of the data set."""
    (archive,) = read_members("vaderSentiment", "additional_resources/hutto_ICWSM_2014.tar.gz")
    splits, seen = {"train": [], "validation": [], "test": []}, set()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for source, stem in SOURCES.items():
            content = files.extractfile(f"hutto_ICWSM_2014/{stem}_GroundTruth.txt").read()
            for line in content.decode("utf8", errors="replace").splitlines():
                _, rating, text = line.split("\t", 2)
                text = html.unescape(text).strip()
                key = key_of(normalize(text))
                if len(key) < _SHORTEST_KEY or key in seen or "\ufffd" in text:
                    continue
                seen.add(key)
                digest = hashlib.sha256(key.encode()).hexdigest()
                splits[split_of(digest)].append(Snippet(digest[:12], text, float(rating), source))
    return splits
