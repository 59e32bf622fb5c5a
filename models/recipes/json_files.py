"""JSON as the files of models and of test vectors have it: UTF-8, characters as they are, a line end."""

import json
from pathlib import Path


def write_json(value, path: Path, **form) -> None:
    """@param form: `indent` and `separators` of json.dumps"""
    path.write_text(json.dumps(value, ensure_ascii=False, **form) + "\n", encoding="utf8")
