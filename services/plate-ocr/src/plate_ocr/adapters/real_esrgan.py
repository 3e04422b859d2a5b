"""Super-resolution with an operator's Real-ESRGAN weights (Wang et al., 2021, https://arxiv.org/abs/2107.10833).

ONNX only, RGB in 0..1, one picture: the `.pth` files need torch and the network's code. To export, where both are
installed: `torch.onnx.export(model.eval(), torch.rand(1, 3, 64, 64), "x4.onnx", input_names=["x"],
output_names=["y"], dynamic_axes={"x": {2: "h", 3: "w"}, "y": {2: "h", 3: "w"}})`.
"""

from pathlib import Path

import cv2
import numpy as np

from plate_ocr.adapters.onnx import OnnxOptions, open_session, provider_of
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.values import Picture

_TILE_PX = 96
_RIM_PX = 8
"""Margin of a tile, cut off afterwards: the network sees only its tile, and seams would look like strokes."""

_MAX_PIXELS = 320 * 128
"""A larger crop has enough pixels to be read as it is."""


class RealEsrgan:
    """A `CropEnhancer` that enlarges by the model's factor. The tile limits memory, the largest crop time.

    Raises: ModelError: the file is missing or is not such a network.
    """

    def __init__(self, model: Path, options: OnnxOptions) -> None:
        if model.suffix.lower() != ".onnx":
            raise ModelError(
                f"{model}: Real-ESRGAN runs as ONNX; export it with torch.onnx.export (real_esrgan.py says how)"
            )
        self._session = open_session(model, options)
        self.name = model.name
        self.provider = provider_of(self._session)
        network_input = self._session.get_inputs()[0]
        if len(network_input.shape) != 4:
            raise ModelError(f"{model} takes {network_input.shape}: it does not map a picture to a picture")
        self._input = network_input.name
        self._dtype = np.float16 if network_input.type == "tensor(float16)" else np.float32
        # Where the model fixes its input size, tiles have that size.
        self._tile = tuple(
            side if isinstance(side, int) else _TILE_PX + 2 * _RIM_PX for side in network_input.shape[2:]
        )
        if min(self._tile) <= 2 * _RIM_PX:
            raise ModelError(f"{model} takes pictures of {network_input.shape[2:]} pixels: too small")
        self.scale = self._factor(model)

    def enhance(self, crop: Picture) -> Picture:
        height, width = crop.shape[:2]
        if height * width > _MAX_PIXELS:
            return crop
        step_y, step_x = (side - 2 * _RIM_PX for side in self._tile)
        rows, columns = -(-height // step_y), -(-width // step_x)
        below, right = rows * step_y - height + _RIM_PX, columns * step_x - width + _RIM_PX
        framed = np.asarray(
            cv2.copyMakeBorder(crop, _RIM_PX, below, _RIM_PX, right, cv2.BORDER_REPLICATE), np.uint8
        )
        scale, rim = self.scale, self.scale * _RIM_PX
        whole = np.empty((rows * step_y * scale, columns * step_x * scale, 3), np.uint8)
        for top in range(0, rows * step_y, step_y):
            for left in range(0, columns * step_x, step_x):
                tile = framed[top : top + self._tile[0], left : left + self._tile[1]]
                larger = self._run(tile)[rim : rim + step_y * scale, rim : rim + step_x * scale]
                y, x = top * scale, left * scale
                whole[y : y + step_y * scale, x : x + step_x * scale] = larger
        return np.ascontiguousarray(whole[: height * scale, : width * scale])

    def _run(self, tile: Picture) -> Picture:
        planes = np.ascontiguousarray(tile[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        output = self._session.run(None, {self._input: planes.astype(self._dtype)})[0][0]
        levels = np.asarray(output, np.float32).clip(0, 1) * 255
        return np.ascontiguousarray(levels.round().astype(np.uint8).transpose(1, 2, 0)[:, :, ::-1])

    def _factor(self, model: Path) -> int:
        height, width = self._tile
        try:
            made = self._run(np.full((height, width, 3), 127, np.uint8)).shape
        except Exception as error:
            # ONNX Runtime's exception types have no common base; a network that cannot process a tile is not
            # Real-ESRGAN.
            raise ModelError(f"{model} cannot enlarge a picture: {error}") from error
        scale = int(made[0]) // height
        if scale < 1 or made != (height * scale, width * scale, 3):
            raise ModelError(f"{model} makes {made} of {(height, width, 3)}: no whole factor")
        return scale
