"""OCR of Chinese and English: PP-OCRv4 (detection, recognition) and the PP-OCR line classifier, as they are.

The ONNX files of the wheel are copied; the characters that the recogniser's classes stand for are read from its
metadata. All three see blue, green, red, in that order.
Source: https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0, in the form of https://github.com/RapidAI/RapidOCR.
"""

from pathlib import Path

from .json_files import write_json
from .sources import unpack_member

PACKAGE = "rapidocr-onnxruntime"
_MODELS = "rapidocr_onnxruntime/models"
_FILES = {
    "model.onnx": "ch_PP-OCRv4_det_infer.onnx",
    "recognition.onnx": "ch_PP-OCRv4_rec_infer.onnx",
    "orientation.onnx": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
}
# longestSide, maxScale and spaceSum were chosen on the images of ocr_images' dev split; the other thresholds are PaddleOCR's.
# The detector was trained on ImageNet's mean and deviation, in this order of the channels.
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "channels": "BGR"}
_HALVES = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "channels": "BGR"}


def characters_of(model) -> list[str]:
    """What the classes stand for: the blank, the characters of the metadata, one a line, and a space."""
    (listed,) = (entry.value for entry in model.metadata_props if entry.key == "character")
    characters = ["", *listed.split("\n"), " "]
    classes = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if len(characters) != classes:
        raise ValueError(f"{len(characters)} characters for {classes} classes")
    return characters


def build(folder: Path) -> None:
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    for name, member in _FILES.items():
        unpack_member(PACKAGE, f"{_MODELS}/{member}", folder / name)
    graphs = {name: onnx.load(folder / name) for name in _FILES}
    detection, recognition, orientation = (
        {"input": graph.graph.input[0].name, "output": graph.graph.output[0].name} for graph in graphs.values()
    )
    pipeline = {
        "kind": "ocr",
        "detection": detection
        | {
            "normalization": _IMAGENET,
            "longestSide": 1280,
            "maxScale": 1,
            "threshold": 0.3,
            "boxThreshold": 0.5,
            "unclipRatio": 1.6,
        },
        "orientation": orientation
        | {
            "file": "orientation.onnx",
            "height": 48,
            "width": 192,
            "normalization": _HALVES,
            "threshold": 0.9,
        },
        "recognition": recognition
        | {
            "file": "recognition.onnx",
            "height": 48,
            "minWidth": 320,
            "normalization": _HALVES,
            "characters": characters_of(graphs["recognition.onnx"]),
            "spaceSum": 0.04,
            "minScore": 0.5,
        },
    }
    write_json(pipeline, folder / "pipeline.json")
