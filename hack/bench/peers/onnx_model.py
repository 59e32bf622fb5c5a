"""What every peer here shares: the session as a careful user would make it, and the Open Inference Protocol's JSON."""

import os
from pathlib import Path

import numpy as np
import onnxruntime

OUTPUTS = {"tiny": "y", "minilm": "sentence_embedding"}
TYPES = {"FP32": np.float32, "INT64": np.int64}


def session_of(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
    options.inter_op_num_threads = 1
    file = Path(os.environ["PEER_MODELS"]) / name / "model.onnx"
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def arrays_of(request: dict) -> dict[str, np.ndarray]:
    return {
        part["name"]: np.array(part["data"], dtype=TYPES[part["datatype"]]).reshape(part["shape"])
        for part in request["inputs"]
    }


def reply_of(model: str, output: np.ndarray) -> dict:
    part = {"name": OUTPUTS[model], "shape": list(output.shape), "datatype": "FP32", "data": output.ravel().tolist()}
    return {"model_name": model, "outputs": [part]}
