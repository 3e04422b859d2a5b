"""A published ONNX network as a torch module that can be trained further, and written back into the same ONNX file.

Only the operators that the PP-OCR networks use are understood. The graph itself is kept: what training changes is
written back into its initializers, so that shapes stay as dynamic as they were.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from onnx import numpy_helper
from torch import Tensor, nn


class OnnxModule(nn.Module):
    """`outputs`: names of the values to compute; nodes that they do not need are removed. Integer constants stay constants."""

    def __init__(self, model: Path, outputs: list[str]) -> None:
        super().__init__()
        self.model = onnx.load(str(model))
        self.outputs = outputs
        self.nodes = _needed(_fused(list(self.model.graph.node)), outputs)
        used = {name for node in self.nodes for name in node["inputs"]}
        self.weights = nn.ParameterDict()
        self.constants: dict[str, Tensor] = {}
        self.names: dict[str, str] = {}
        for initializer in self.model.graph.initializer:
            if initializer.name not in used:
                continue
            array = torch.from_numpy(numpy_helper.to_array(initializer).copy())
            if array.is_floating_point() and array.numel() > 1:
                key = initializer.name.replace(".", "__")
                self.names[initializer.name] = key
                self.weights[key] = nn.Parameter(array)
            else:
                self.constants[initializer.name] = array
        for node in self.nodes:
            if node["op"] == "Constant":
                self.constants[node["outputs"][0]] = torch.from_numpy(
                    numpy_helper.to_array(node["value"]).copy()
                )

    def forward(self, x: Tensor) -> list[Tensor]:
        values: dict[str, Any] = {"x": x, **self.constants}
        for name, key in self.names.items():
            values[name] = self.weights[key]
        for node in self.nodes:
            if node["op"] == "Constant":
                continue
            made = _OPS[node["op"]](node["attributes"], *[values[i] if i else None for i in node["inputs"]])
            values[node["outputs"][0]] = made
        return [values[name] for name in self.outputs]

    def first_weights(self, count: int) -> list[nn.Parameter]:
        """The weights of the first layers, in the order of the graph."""
        keys = [self.names[i] for node in self.nodes for i in node["inputs"] if i in self.names]
        return [self.weights[key] for key in dict.fromkeys(keys)][:count]

    def written_back(self) -> onnx.ModelProto:
        """The model with the trained weights."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for initializer in model.graph.initializer:
            if key := self.names.get(initializer.name):
                array = self.weights[key].detach().cpu().numpy().astype(np.float32)
                initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
        return model


def _fused(nodes: list[onnx.NodeProto]) -> list[dict[str, Any]]:
    """Chains of `x * (1 + erf(x / sqrt 2)) / 2` become one GELU: a third of the memory and time of training."""
    plain = [
        {
            "op": n.op_type, "inputs": list(n.input), "outputs": list(n.output),
            "attributes": {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute if a.name != "value"},
            "value": next((a.t for a in n.attribute if a.name == "value"), None),
        }
        for n in nodes
    ]  # fmt: skip
    users: dict[str, list[dict[str, Any]]] = {}
    for node in plain:
        for name in node["inputs"]:
            users.setdefault(name, []).append(node)
    made_by = {n["outputs"][0]: n for n in plain}
    dropped: set[int] = set()
    for node in plain:
        if node["op"] != "Erf":
            continue
        source = made_by[node["inputs"][0]]["inputs"][0]
        chain = [made_by[node["inputs"][0]], node]
        while len(chain) < 5:
            chain.append(users[chain[-1]["outputs"][0]][0])
        if [n["op"] for n in chain[2:]].count("Mul") != 2:
            raise ValueError(f"an Erf that is no GELU: {[n['op'] for n in chain]}")
        dropped.update(id(n) for n in chain[:-1])
        chain[-1].update(op="Gelu", inputs=[source])
    return [n for n in plain if id(n) not in dropped]


def _needed(nodes: list[dict[str, Any]], outputs: list[str]) -> list[dict[str, Any]]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node["outputs"]):
            kept.append(node)
            wanted |= set(node["inputs"])
    return kept[::-1]


def _conv(a: dict[str, Any], x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    if a.get("auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}:
        size = [math.ceil(s / t) for s, t in zip(x.shape[2:], a["strides"], strict=True)]
        total = [
            max((n - 1) * t + k - s, 0)
            for n, t, k, s in zip(size, a["strides"], w.shape[2:], x.shape[2:], strict=True)
        ]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    if pads[:2] == pads[2:]:
        return F.conv2d(
            x, w, b, a.get("strides", [1, 1]), pads[:2], a.get("dilations", [1, 1]), a.get("group", 1)
        )
    x = F.pad(x, [pads[1], pads[3], pads[0], pads[2]])
    return F.conv2d(x, w, b, a.get("strides", [1, 1]), 0, a.get("dilations", [1, 1]), a.get("group", 1))


def _pool(a: dict[str, Any], x: Tensor, *, is_max: bool) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    strides, kernel, ceil = a.get("strides", [1, 1]), a["kernel_shape"], bool(a.get("ceil_mode", 0))
    if a.get("auto_pad", b"NOTSET") == b"SAME_UPPER":
        pads = [0, 0, *(k - s for k, s in zip(kernel, strides, strict=True))]
    if is_max:
        x = F.pad(x, [pads[1], pads[3], pads[0], pads[2]], value=-1e9) if any(pads) else x
        return F.max_pool2d(x, kernel, strides, 0, ceil_mode=ceil)
    if any(pads):
        raise ValueError("an average over padding is not understood")
    return F.avg_pool2d(x, kernel, strides, 0, ceil_mode=ceil)


def _resize(_: dict[str, Any], x: Tensor, *inputs: Tensor | None) -> Tensor:
    scales = next(t for t in inputs if t is not None and t.numel() == 4)
    return F.interpolate(x, scale_factor=[float(s) for s in scales[2:]], mode="nearest")


def _mean(a: dict[str, Any], x: Tensor) -> Tensor:
    return x.mean(dim=[int(i) for i in a["axes"]], keepdim=bool(a.get("keepdims", 1)))


def _slice(
    _: dict[str, Any],
    x: Any,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Any:
    del steps
    if isinstance(x, tuple | torch.Size):
        x = torch.tensor(list(x))
    where = axes.tolist() if axes is not None else range(len(starts))
    for s, e, axis in zip(starts.tolist(), ends.tolist(), where, strict=True):
        index = [slice(None)] * x.dim()
        index[axis] = slice(s, None if e > 1 << 30 else e)
        x = x[tuple(index)]
    return x


def _reshape(_: dict[str, Any], x: Tensor, shape: Tensor) -> Tensor:
    return x.reshape([x.shape[i] if s == 0 else s for i, s in enumerate(shape.tolist())])


def _squeeze(a: dict[str, Any], x: Tensor, axes: Tensor | None = None) -> Tensor:
    for axis in sorted((axes.tolist() if axes is not None else a["axes"]), reverse=True):
        x = x.squeeze(axis)
    return x


def _unsqueeze(a: dict[str, Any], x: Tensor, axes: Tensor | None = None) -> Tensor:
    for axis in axes.tolist() if axes is not None else a["axes"]:
        x = x.unsqueeze(axis)
    return x


def _normalised(a: dict[str, Any], x: Tensor, w: Tensor, b: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return F.batch_norm(x, mean.detach(), var.detach(), w, b, False, 0.0, a.get("epsilon", 1e-5))


_OPS: dict[str, Callable[..., Any]] = {
    "Conv": _conv,
    "ConvTranspose": lambda a, x, w, b=None: F.conv_transpose2d(x, w, b, a["strides"]),
    "Gelu": lambda _, x: F.gelu(x),
    "Relu": lambda _, x: F.relu(x),
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "HardSigmoid": lambda a, x: torch.clamp(x * a.get("alpha", 0.2) + a.get("beta", 0.5), 0, 1),
    "Identity": lambda _, x: x,
    "Add": lambda _, x, y: x + y,
    "Sub": lambda _, x, y: x - y,
    "Mul": lambda _, x, y: x * y,
    "Div": lambda _, x, y: x / y,
    "Pow": lambda _, x, y: x * x if float(y) == 2 else x**y,
    "Sqrt": lambda _, x: torch.sqrt(x),
    "MatMul": lambda _, x, y: x @ y,
    "Softmax": lambda a, x: torch.softmax(x, dim=a.get("axis", -1)),
    "Transpose": lambda a, x: x.permute(*a["perm"]),
    "Shape": lambda _, x: torch.tensor(x.shape),
    "Slice": _slice,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": lambda a, *x: torch.cat([torch.as_tensor(v) for v in x], dim=a["axis"]),
    "ReduceMean": _mean,
    "GlobalAveragePool": lambda _, x: x.mean(dim=(2, 3), keepdim=True),
    "MaxPool": lambda a, x: _pool(a, x, is_max=True),
    "AveragePool": lambda a, x: _pool(a, x, is_max=False),
    "BatchNormalization": _normalised,
    "Resize": _resize,
}
