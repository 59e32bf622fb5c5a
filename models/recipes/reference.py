"""Rewrites what another implementation answers: the vectors of en-ner, with spaCy itself, and those of
efficientnet-lite0, with Pillow and Python's onnxruntime.

The texts and images of vectors.json stay, the answers are new. Also writes the constants of spaCy's source that its
models' files lack. Needs the environment of requirements-reference.txt, which no other command does.
"""

import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from .cache import MODELS
from .en_ner import FOLDER, PACKAGE
from .json_files import write_json
from .lac import utf16_length
from .sources import download
from .quality import files_of


def write_constants() -> None:
    from spacy.lang.norm_exceptions import BASE_NORMS
    from spacy.strings import StringStore
    from spacy.symbols import IDS

    strings = StringStore()
    symbols = {name: identity for name, identity in IDS.items() if name and strings.add(name) == identity}
    comment = "spaCy 3.8 (MIT, ExplosionAI GmbH): spacy/symbols.pyx and spacy/lang/norm_exceptions.py"
    constants = {"comment": comment, "symbols": symbols, "norms": BASE_NORMS}
    write_json(constants, MODELS / "en-ner" / "spacy-constants.json", indent=0)


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
    write_json({"offsets": "UTF-16 code units", "cases": cases}, path, indent=1)


def rewrite_classification_vectors() -> None:
    """The five likeliest labels of each image, shrunk by another library than the agent's."""
    import onnxruntime
    from PIL import Image

    folder = MODELS / "efficientnet-lite0"
    cases = json.loads((folder / "vectors.json").read_text(encoding="utf8"))["cases"]
    with tempfile.TemporaryDirectory() as scratch:
        files = files_of("efficientnet-lite0", Path(scratch))
        pipeline = json.loads((files / "pipeline.json").read_text(encoding="utf8"))
        session = onnxruntime.InferenceSession(str(files / "model.onnx"))
    for case in cases:
        image = Image.open(folder / "images" / case["file"]).convert("RGB")
        side = min(image.size) * pipeline["crop"]
        left, top = ((size - side) / 2 for size in image.size)
        box = (left, top, left + side, top + side)
        seen = image.resize((pipeline["width"], pipeline["height"]), Image.Resampling.BICUBIC, box)
        planes = ((np.asarray(seen, np.float32) - 127) / 128).transpose(2, 0, 1)[None]
        (probabilities,) = session.run([pipeline["output"]], {pipeline["input"]: planes})[0]
        best = probabilities.argsort()[::-1][:5]
        case["top5"] = [
            {"label": pipeline["labels"][index], "score": round(float(probabilities[index]), 4)}
            for index in best
        ]
    write_json({"scoreTolerance": 0.1, "cases": cases}, folder / "vectors.json", indent=1)


def write() -> None:
    for rewrite in (write_constants, rewrite_entity_vectors, rewrite_classification_vectors):
        print(f"  {rewrite.__name__}", flush=True)
        rewrite()
