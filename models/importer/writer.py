"""A GraphBuilder that can put large constants beside the graph, so that one tensor at a time is in memory."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from recipes.onnx_graph import GraphBuilder

EXTERNAL = "model.onnx.data"
# Smaller ones stay in the graph: shape inference needs to see them.
_LEAST_EXTERNAL_BYTES = 1 << 16
# What ONNX Runtime maps to memory has to start at a page.
_ALIGNMENT = 4096


class StreamingGraph(GraphBuilder):
    """With `external`, constants of 64 KiB and more go to that file at once, and only their place is kept."""

    def __init__(self, name: str, external: Path | None):
        super().__init__(name)
        self._file = external.open("wb") if external else None

    def constant(self, name: str, value) -> str:
        array = np.asarray(value)
        if self._file is None or array.nbytes < _LEAST_EXTERNAL_BYTES:
            return super().constant(name, array)
        if name not in self._constants:
            self._constants[name] = self._write(name, array)
        return name

    def _write(self, name: str, array: np.ndarray) -> TensorProto:
        self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
        place = {"location": EXTERNAL, "offset": self._file.tell(), "length": array.nbytes}
        np.ascontiguousarray(array).tofile(self._file)
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def save(self, path: Path) -> None:
        if self._file is not None:
            self._file.close()
        super().save(path)
