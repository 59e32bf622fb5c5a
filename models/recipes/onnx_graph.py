"""A thin builder over onnx.helper: names are the wires between nodes."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
INT32, INT64 = TensorProto.INT32, TensorProto.INT64


class GraphBuilder:
    """Collects constants and nodes. Opset 17 and IR 8 load in every onnxruntime since 1.14."""

    def __init__(self, name: str):
        self.name = name
        self._constants, self._nodes, self._inputs, self._outputs, self._shapes = {}, [], [], [], []

    def input(self, name: str, kind: int, shape: list) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, shape: list) -> str:
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def shape(self, wire: str, kind: int, shape: list) -> str:
        """Says what shape a wire inside the graph has, where the runtime would guess another."""
        self._shapes.append(helper.make_tensor_value_info(wire, kind, shape))
        return wire

    def has(self, wire: str) -> bool:
        """Whether a node gives `wire` already."""
        return any(wire in node.output for node in self._nodes)

    def constant(self, name: str, value) -> str:
        """Keeps `value` under `name`; a scalar stays a scalar."""
        if name not in self._constants:
            array = np.asarray(value)
            self._constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def node(
        self, operator: str, inputs: list[str], outputs: str | list[str], domain: str = "", **attributes
    ) -> str:
        """Adds a node and gives back the name of its first output."""
        names = [outputs] if isinstance(outputs, str) else outputs
        self._nodes.append(
            helper.make_node(
                operator, inputs, names, name=f"{names[0]}/{operator}", domain=domain, **attributes
            )
        )
        return names[0]

    def save(self, path: Path) -> None:
        constants = list(self._constants.values())
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, constants, value_info=self._shapes
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
        onnx.save(
            helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="autoglm-recipes"),
            path,
        )
