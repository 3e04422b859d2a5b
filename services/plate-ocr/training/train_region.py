"""Trains the region network: which emirate, country or family of countries a plate is from, by its words, colours and layout.

    train_region.py WORK OUT.onnx --minutes N

Small enough to be trained from nothing on drawn plates. It sees the whole plate, the reader only its rows.
"""

import argparse
import random
import time
from pathlib import Path

import cv2
import degrade
import flats
import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import helper
from plates import REGIONS
from torch import nn

HEIGHT_PX, WIDTH_PX = 80, 224
# Around the rows, in heights of a row; the engine uses the same (adapters/plate_region.py).
ONE_ROW, TWO_ROWS, ALONG = 0.75, 0.3, 0.6


class RegionNet(nn.Module):
    """x: (N, 3, 80, 224), -1 to 1. Gives logits (N, regions)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(3, 24, 2), (24, 48, 2), (48, 64, 1), (64, 96, 2), (96, 96, 1), (96, 160, 2)]
        layers: list[nn.Module] = []
        for before, after, stride in sizes:
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(320, len(REGIONS))

    def forward(self, x):
        features = self.body(x)
        return self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1))


def sample(pool, rng: random.Random) -> tuple[np.ndarray, int]:
    flat = pool[rng.randrange(len(pool))]
    image = flat.image()
    x, y, w, h = flat.inner
    rows = [r for r in flat.rows if r.text]
    left, right = min(r.left for r in rows) * w + x, max(r.right for r in rows) * w + x
    top, low = min(r.top for r in rows) * h + y, max(r.bottom for r in rows) * h + y
    row = (low - top) / len(rows)
    across = (ONE_ROW if len(rows) == 1 else TWO_ROWS) * row * rng.uniform(0.75, 1.25)
    along = ALONG * row * rng.uniform(0.6, 1.4)
    wobble = row * 0.1
    corners = np.array(
        [
            [left - along, top - across],
            [right + along, top - across],
            [right + along, low + across],
            [left - along, low + across],
        ]
    )
    corners = corners + np.array([[rng.uniform(-wobble, wobble) for _ in range(2)] for _ in range(4)])
    lean = rng.gauss(0, 0.03) * (right - left)
    corners[:2, 1] += (-lean, lean)
    corners[2:, 1] += (lean, -lean)
    target = np.array([[0, 0], [WIDTH_PX, 0], [WIDTH_PX, HEIGHT_PX], [0, HEIGHT_PX]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    shade = tuple(rng.randrange(256) for _ in range(3))
    mode = cv2.BORDER_CONSTANT if rng.random() < 0.7 else cv2.BORDER_REPLICATE
    crop = cv2.warpPerspective(
        image, matrix, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_AREA, borderMode=mode, borderValue=shade
    )
    if rng.random() < 0.1:
        crop = degrade.dirty(crop, rng)
    if rng.random() < 0.6:
        crop = degrade.lit(crop, rng)
    if rng.random() < 0.3:
        crop = degrade.blurred(crop, rng, 1.3)
    if rng.random() < 0.5:
        crop = degrade.shrunk(crop, rng, 26, 78)
    if rng.random() < 0.3:
        crop = degrade.noisy(crop, rng)
    return crop, REGIONS.index(flat.region)


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, folder: Path, batch: int) -> None:
        self.folder, self.batch = folder, batch

    def __iter__(self):
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        rng, pool = random.Random(21), flats.load(self.folder)[400:]
        while True:
            yield collated([sample(pool, rng) for _ in range(self.batch)])


def collated(made):
    x = np.stack([m[0] for m in made]).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    return torch.from_numpy(x), torch.tensor([m[1] for m in made])


def write(net: RegionNet, out: Path) -> None:
    net.eval()
    whole = nn.Sequential(net, nn.Softmax(1))
    torch.onnx.export(
        whole, (torch.zeros(1, 3, HEIGHT_PX, WIDTH_PX),), str(out), input_names=["x"], output_names=["regions"],
        dynamic_axes={"x": {0: "plates"}, "regions": {0: "plates"}}, dynamo=False, opset_version=17,
    )  # fmt: skip
    model = onnx.load(str(out))
    helper.set_model_props(model, {"regions": ",".join(REGIONS)})
    onnx.save(model, str(out))
    net.train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=3e-3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    net = RegionNet()
    held = flats.load(args.work / "flats")[:400]
    rng = random.Random(5)
    x_held, y_held = collated([sample(held, rng) for _ in range(400)])
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=0.02)
    stream = Stream(args.work / "flats", args.batch)
    loader = iter(
        torch.utils.data.DataLoader(
            stream, batch_size=None, num_workers=1, multiprocessing_context="spawn", prefetch_factor=8
        )
    )
    start, step, told = time.time(), 0, time.time()
    while (share := (time.time() - start) / (args.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = max(args.rate * min(1, (step + 1) / 60) * (0.5 + 0.5 * np.cos(np.pi * share)), 1e-6)
        x, y = next(loader)
        loss = F.cross_entropy(net(x), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if time.time() - told > 90:
            told = time.time()
            net.eval()
            with torch.no_grad():
                right = float((net(x_held).argmax(1) == y_held).float().mean())
            print(
                f"{time.time() - start:.0f} s, step {step}, loss {loss.item():.3f}, held-out right {right:.3f}",
                flush=True,
            )
            write(net, args.out)
    write(net, args.out)
    print(f"done: {args.out}")


if __name__ == "__main__":
    main()
