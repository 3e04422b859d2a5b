"""Stores a network's weights in 16 bits: half the size in the wheel; inference stays in 32 bits.

pack.py IN.onnx OUT.onnx
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALLEST = 64
"""Number of values below which the node that converts them costs more than it saves."""


def pack(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    widened, kept = [], []
    for initializer in graph.initializer:
        array = numpy_helper.to_array(initializer)
        if array.dtype != np.float32 or array.size < _SMALLEST:
            kept.append(initializer)
            continue
        name = f"{initializer.name}.half"
        kept.append(numpy_helper.from_array(array.astype(np.float16), name))
        widened.append(helper.make_node("Cast", [name], [initializer.name], to=TensorProto.FLOAT))
    nodes = [*widened, *graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    return model


if __name__ == "__main__":
    onnx.save(pack(onnx.load(sys.argv[1])), sys.argv[2])
