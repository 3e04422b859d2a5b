"""Averages the weights of a trained network with those of the network that it was trained from.

    blend.py START.onnx TRAINED.onnx SHARE OUT.onnx

SHARE: of the trained one, 0 to 1. Halfway between the two, a network keeps its accuracy on photographs and has what it learned
from drawings (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022). Weights that only one of them has are kept.
"""

import sys

import onnx
from onnx import numpy_helper


def blended(start: onnx.ModelProto, trained: onnx.ModelProto, share: float) -> onnx.ModelProto:
    before = {i.name: numpy_helper.to_array(i) for i in start.graph.initializer}
    for initializer in trained.graph.initializer:
        new, old = numpy_helper.to_array(initializer), before.get(initializer.name)
        if old is not None and old.shape == new.shape and new.dtype.kind == "f":
            mixed = ((1 - share) * old + share * new).astype(new.dtype)
            initializer.CopyFrom(numpy_helper.from_array(mixed, initializer.name))
    return trained


if __name__ == "__main__":
    onnx.save(blended(onnx.load(sys.argv[1]), onnx.load(sys.argv[2]), float(sys.argv[3])), sys.argv[4])
