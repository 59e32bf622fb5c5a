"""Rewrites what another implementation answers: the vectors of en-ner, with spaCy itself.

The texts of models/en-ner/vectors.json stay, the answers are new. Also writes the constants of spaCy's source that its
models' files lack. Needs the environment of requirements-reference.txt, which no other command does.
"""

import json
import tempfile
import zipfile
from pathlib import Path

from .cache import MODELS
from .en_ner import FOLDER, PACKAGE
from .lac import utf16_length
from .sources import download


def _write_json(path: Path, value: dict, indent: int) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf8")


def write_constants() -> None:
    from spacy.lang.norm_exceptions import BASE_NORMS
    from spacy.strings import StringStore
    from spacy.symbols import IDS

    strings = StringStore()
    symbols = {name: identity for name, identity in IDS.items() if name and strings.add(name) == identity}
    comment = "spaCy 3.8 (MIT, ExplosionAI GmbH): spacy/symbols.pyx and spacy/lang/norm_exceptions.py"
    constants = {"comment": comment, "symbols": symbols, "norms": BASE_NORMS}
    _write_json(MODELS / "en-ner" / "spacy-constants.json", constants, 0)


def rewrite_entity_vectors() -> None:
    """Tokens and entities of the whole pipeline, parser included."""
    import spacy

    path = MODELS / "en-ner" / "vectors.json"
    cases = json.loads(path.read_text(encoding="utf8"))["cases"]
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(download(PACKAGE)) as archive:
            archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(FOLDER)])
        pipeline = spacy.load(Path(scratch) / FOLDER)
    for case in cases:
        document = pipeline(case["text"])
        case["tokens"] = [token.text for token in document]
        case["entities"] = [
            {
                "entity_group": entity.label_,
                "word": entity.text,
                "start": utf16_length(case["text"][: entity.start_char]),
                "end": utf16_length(case["text"][: entity.end_char]),
            }
            for entity in document.ents
        ]
    _write_json(path, {"offsets": "UTF-16 code units", "cases": cases}, 1)


def write() -> None:
    for rewrite in (write_constants, rewrite_entity_vectors):
        print(f"  {rewrite.__name__}", flush=True)
        rewrite()
