"""Texts of each kind, for training the recogniser of task types and for the part of its held-out set that is real.

The splits of reviews and snippets decide by the text's hash; of newspaper lines and news documents by their number.
"""

import re

from .news import load_sentences
from .reviews import load_reviews
from .snippets import load_snippets
from .sources import download, read_members

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
# Something to find: a word with a capital inside a sentence.
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_SHORTEST = 12
HELD_OUT_LINE = 9


def chinese_reviews(split: str = "train") -> list[str]:
    return [review.text for review in load_reviews()[split] if len(review.text) >= 6]


def english_reviews(split: str = "train") -> list[str]:
    """Reviews of films and products."""
    return [
        snippet.text
        for snippet in load_snippets()[split]
        if snippet.source in ("product", "film") and len(snippet.text) >= _SHORTEST
    ]


def chinese_news(held_out: bool = False) -> list[str]:
    """Lines with at least one name: without any there is nothing to find."""
    digits = [HELD_OUT_LINE] if held_out else [0, 1, 2, 4, 5]
    return [
        sentence.text
        for digit in digits
        for sentence in load_sentences(digit)
        if sentence.names and len(sentence.text) >= _SHORTEST
    ]


def english_news(held_out: bool = False) -> list[str]:
    """Openings of one or two sentences of Australian radio news (Lee, Pincombe and Welsh, 2005)."""
    (content,) = read_members("gensim", "gensim/test/test_data/lee_background.cor")
    texts = []
    for number, document in enumerate(content.decode("utf8").splitlines()):
        if (number % 10 == HELD_OUT_LINE) != held_out:
            continue
        sentences = _SENTENCE_END.split(document.strip())
        pairs = [" ".join(sentences[start : start + 2]) for start in range(0, len(sentences), 2)]
        texts += [text for text in pairs if _SHORTEST <= len(text) <= 600 and _NAME.search(text)]
    return texts


def questions() -> list[str]:
    """First lines of conversations that ask something."""
    import zipfile

    import yaml

    texts = []
    with zipfile.ZipFile(download("chatterbot-corpus")) as archive:
        for name in sorted(archive.namelist()):
            if not re.search(r"/data/(english|chinese)/\w+\.yml$", name):
                continue
            content = yaml.safe_load(archive.read(name).decode("utf8"))
            for conversation in content["conversations"]:
                first = str(conversation[0]).strip()
                if first.endswith(("?", "？")) and len(first) >= 6:
                    texts.append(first)
    return texts
