"""Tiny ONNX files, written field by field: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has the numbers.

The package `onnx` would do it too; it is 17 MB for two graphs of a test.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Shape = Sequence[int | str]


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def node(kind: str, inputs: Sequence[str], output: str) -> bytes:
    return b"".join(part(1, name) for name in inputs) + part(2, output) + part(4, kind)


def tensor(name: str, values: NDArray[np.float32]) -> bytes:
    sides = b"".join(number(1, side) for side in values.shape)
    return sides + number(2, 1) + part(8, name) + part(9, values.astype("<f4").tobytes())


def value(name: str, shape: Shape) -> bytes:
    sides = b"".join(part(1, part(2, side) if isinstance(side, str) else number(1, side)) for side in shape)
    return part(1, name) + part(2, part(1, number(1, 1) + part(2, sides)))


def write(
    path: Path,
    *,
    nodes: Sequence[bytes],
    constants: Mapping[str, NDArray[np.float32]],
    taken: Shape,
    given: Shape,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A model from `x` to `y`, 32 bits."""
    graph = (
        b"".join(part(1, one) for one in nodes)
        + part(2, "g")
        + b"".join(part(5, tensor(name, array)) for name, array in constants.items())
        + part(11, value("x", taken))
        + part(12, value("y", given))
    )
    entries = b"".join(part(14, part(1, key) + part(2, text)) for key, text in (metadata or {}).items())
    path.write_bytes(number(1, 8) + part(7, graph) + part(8, number(2, 13)) + entries)
    return path


def constant(path: Path, output: NDArray[np.float32], taken: Shape, metadata: Mapping[str, str]) -> Path:
    """A network with the same output for every picture."""
    return write(
        path,
        nodes=[node("Identity", ["c"], "y")],
        constants={"c": output},
        taken=taken,
        given=output.shape,
        metadata=metadata,
    )


def enlarging(path: Path, factor: int, taken: Shape = (1, 3, "h", "w")) -> Path:
    """A network that repeats each pixel."""
    return write(
        path,
        nodes=[node("Resize", ["x", "", "s"], "y")],
        constants={"s": np.array([1, 1, factor, factor], np.float32)},
        taken=taken,
        given=(1, 3, "height", "width"),
    )
