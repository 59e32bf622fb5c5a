"""What the pre-gate sees of a text; the same numbers as core/src/gate/features.ts, which the agent computes.
models/gate/vectors.json holds both to it.
"""

import unicodedata
from collections import Counter

import numpy as np

VERSION = 1
LOOKED_AT = 4096  # UTF-16 units
TYPES = [
    "text-classification",
    "zero-shot-classification",
    "token-classification",
    "relation-extraction",
    "question-answering",
    "summarization",
    "text-generation",
    "feature-extraction",
    "image-classification",
    "image-to-text",
    "image-text-matching",
    "object-detection",
    "automatic-speech-recognition",
    "tensor",
]
LANGUAGES = ["zh", "en", "other"]
NUMBERS, BUCKETS = 6, 1024
LENGTH = NUMBERS + len(LANGUAGES) + len(TYPES) + BUCKETS
# What ECMAScript calls white space (\s and trim).
SPACE = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
SPACE += "\u2028\u2029\u202f\u205f\u3000\ufeff"


def beginning_of(text: str) -> str:
    """White space at both ends removed, at most LOOKED_AT UTF-16 units of the rest."""
    return text.strip(SPACE).encode("utf-16-le")[: LOOKED_AT * 2].decode("utf-16-le", errors="replace")


def entropy_of(text: str) -> float:
    """Bits per character."""
    shares = np.array(list(Counter(text).values())) / max(1, len(text))
    return float(-(shares * np.log2(shares)).sum()) if len(shares) > 1 else 0.0


def language_of(text: str) -> str:
    letters = [character for character in text if unicodedata.category(character)[0] == "L"]
    han = sum(_is_han(character) for character in letters)
    latin = sum("LATIN" in unicodedata.name(character, "") for character in letters)
    if not letters:
        return "none"
    if han * 2 >= len(letters):
        return "zh"
    return "en" if latin * 2 >= len(letters) else "other"


def _is_han(character: str) -> bool:
    return character in "々〆" or unicodedata.name(character, "").startswith(
        ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH")
    )


def buckets_of(codes: np.ndarray, following: np.ndarray) -> np.ndarray:
    """FNV-1a over the low three bytes of two code points each."""
    value = np.full(len(codes), 0x811C9DC5, np.uint32)
    for part in (codes, following):
        for shift in (0, 8, 16):
            value = (value ^ ((part >> np.uint32(shift)) & np.uint32(0xFF))) * np.uint32(0x01000193)
    return value % np.uint32(BUCKETS)


def vector_of(text: str, task_type: str) -> np.ndarray:
    """[LENGTH] float32."""
    beginning = beginning_of(text)
    characters = len(beginning) + max(0, len(text.strip(SPACE).encode("utf-16-le")) // 2 - LOOKED_AT)
    vector = np.zeros(LENGTH, np.float32)
    vector[0] = entropy_of(beginning) / 8
    vector[1] = np.log1p(characters) / 8
    language = language_of(beginning)
    beginning = beginning.lower()
    if beginning:
        categories = Counter(unicodedata.category(character)[0] for character in beginning)
        vector[2] = len(set(beginning)) / len(beginning)
        vector[3] = (categories["P"] + categories["S"]) / len(beginning)
        vector[4] = categories["N"] / len(beginning)
        vector[5] = sum(character in SPACE for character in beginning) / len(beginning)
    if language in LANGUAGES:
        vector[NUMBERS + LANGUAGES.index(language)] = 1
    if task_type in TYPES:
        vector[NUMBERS + len(LANGUAGES) + TYPES.index(task_type)] = 1
    codes = np.array([ord(character) for character in beginning], np.uint32)
    bag = vector[-BUCKETS:]
    np.add.at(bag, buckets_of(codes, np.zeros_like(codes)), 1)
    np.add.at(bag, buckets_of(codes[:-1], codes[1:]), 1)
    bag /= max(1e-9, float(np.linalg.norm(bag)))
    return vector


def vectors_of(texts: list[str], task_type: str) -> np.ndarray:
    """[texts, LENGTH]"""
    return np.stack([vector_of(text, task_type) for text in texts])
