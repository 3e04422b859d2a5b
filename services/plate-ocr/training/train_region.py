"""Trains the region network: which emirate, country or group of countries a plate is from, by its words, colours and layout.

    train_region.py WORK MODEL.onnx PHOTOGRAPHS OUT.onnx --minutes N

It starts from the first layers of PP-OCR's text detector (MODEL, Apache-2.0): what they know of scripts and strokes in
photographs keeps it from learning how drawings look. Its input is the whole plate, that of the recognizer only the rows.
"""

import argparse
import random
import time
from collections import Counter
from pathlib import Path

import cv2
import degrade
import flats
import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import TensorProto, helper, numpy_helper
from onnx_graph import OnnxModule
from plates import REGIONS, Picture
from torch import Tensor, nn

HEIGHT_PX, WIDTH_PX = 80, 224
# Around the rows, in heights of a row; the engine uses the same (adapters/region_classifier.py).
ONE_ROW, TWO_ROWS, ALONG = 0.75, 0.3, 0.6
_FEATURE, _CHANNELS = "Add.97", 192
"""The end of the third block, at a sixteenth of the resolution: 5 x 14 positions."""
_PARTS = ((0, 5), (5, 9), (9, 14))
"""Columns of positions that are pooled separately: left, middle, right, to keep the layout."""


class RegionNet(nn.Module):
    """x: (N, 3, 80, 224), -1 to 1. Gives logits (N, regions)."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        self.body = OnnxModule(model, [_FEATURE])
        self.head = nn.Linear((2 + len(_PARTS)) * _CHANNELS, len(REGIONS))
        arrays = {i.name: numpy_helper.to_array(i) for i in onnx.load(str(model)).graph.initializer}
        if "head.w" in arrays:  # one of ours, trained before
            with torch.no_grad():
                self.head.weight.copy_(torch.from_numpy(arrays["head.w"].T.copy()))
                self.head.bias.copy_(torch.from_numpy(arrays["head.b"].copy()))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            (features,) = self.body(x.contiguous(memory_format=torch.channels_last))
        features = features.float()
        parts = [features[..., a:b].mean((2, 3)) for a, b in _PARTS]
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3)), *parts], 1)
        return self.head(F.dropout(pooled, 0.2, self.training))


def sample(pool: list[flats.Flat], streets: list[Picture], rng: random.Random) -> tuple[Picture, int]:
    """A drawn plate as the engine crops it, with part of a real photograph around it."""
    flat = pool[rng.randrange(len(pool))]
    image = flat.image()
    x, y, w, h = flat.inner
    rows = [r for r in flat.rows if r.text]
    if len(rows) > 1 and rng.random() < 0.15:  # the detector may find one row of two
        rows = [max(rows, key=lambda r: r.bottom - r.top)]
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
    size = (WIDTH_PX, HEIGHT_PX)
    crop = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.8:
        inside = cv2.warpPerspective(np.full(image.shape[:2], 255, np.uint8), matrix, size)[..., None] / 255.0
        street = streets[rng.randrange(len(streets))]
        part = max(int(street.shape[0] * rng.uniform(0.3, 1)), 8)
        v, u = rng.randint(0, street.shape[0] - part), rng.randint(0, street.shape[1] - part)
        behind = cv2.resize(street[v : v + part, u : u + part], size, interpolation=cv2.INTER_LINEAR)
        crop = (crop * inside + behind * (1 - inside)).astype(np.uint8)
    if rng.random() < 0.1:
        crop = degrade.dirty(crop, rng)
    if rng.random() < 0.65:
        crop = degrade.lit(crop, rng)
    if rng.random() < 0.4:
        crop = degrade.blurred(crop, rng, 1.5)
    if rng.random() < 0.7:
        crop = degrade.shrunk(crop, rng, 22, 78)
    if rng.random() < 0.3:
        crop = degrade.noisy(crop, rng)
    if rng.random() < 0.3:
        crop = degrade.jpeg(crop, rng)
    return crop, REGIONS.index(flat.region)


def streets_of(folder: Path, count: int = 200) -> list[Picture]:
    """Parts of photographs, 96 px square, off the centre where a plate is unlikely."""
    rng = random.Random(3)
    found = []
    files = sorted(folder.rglob("*.jpg"))
    for file in rng.sample(files, min(count, len(files))):
        image = cv2.imread(str(file))
        side = min(image.shape[:2]) // 3
        y, x = rng.randint(0, image.shape[0] - side), rng.randint(0, image.shape[1] - side)
        found.append(cv2.resize(image[y : y + side, x : x + side], (96, 96), interpolation=cv2.INTER_AREA))
    return found


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, folder: Path, photographs: Path, batch: int, seed: int) -> None:
        self.folder, self.photographs, self.batch, self.seed = folder, photographs, batch, seed

    def __iter__(self):
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        rng, pool, streets = (
            random.Random(self.seed),
            flats.load(self.folder)[400:],
            streets_of(self.photographs),
        )
        while True:
            yield collated([sample(pool, streets, rng) for _ in range(self.batch)])


def collated(made: list[tuple[Picture, int]]) -> tuple[Tensor, Tensor]:
    x = np.stack([m[0] for m in made]).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    return torch.from_numpy(x), torch.tensor([m[1] for m in made])


def write(net: RegionNet, out: Path) -> None:
    """Writes the first layers of the original graph with the new weights, and the head."""
    model = net.body.written_back()
    graph = model.graph
    kept_initializers = [i for i in graph.initializer if not i.name.startswith(("head.", "part"))]
    graph.ClearField("initializer")
    graph.initializer.extend(kept_initializers)
    made = {output: node for node in graph.node for output in node.output}
    wanted, kept = [_FEATURE], set()
    while wanted:
        node = made.get(wanted.pop())
        if node is not None and node.output[0] not in kept:
            kept.add(node.output[0])
            wanted.extend(node.input)
    nodes = [n for n in graph.node if n.output[0] in kept]
    used = {name for n in nodes for name in n.input}
    initializers = [i for i in graph.initializer if i.name in used]
    for field in ("node", "initializer", "output", "value_info", "input"):
        graph.ClearField(field)
    graph.input.append(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["plates", 3, HEIGHT_PX, WIDTH_PX])
    )
    graph.output.append(helper.make_tensor_value_info("regions", TensorProto.FLOAT, ["plates", len(REGIONS)]))
    for name, value in (("head.w", net.head.weight.T), ("head.b", net.head.bias)):
        initializers.append(numpy_helper.from_array(value.detach().numpy().astype(np.float32).copy(), name))
    nodes += [
        helper.make_node("ReduceMean", [_FEATURE], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMax", [_FEATURE], ["max"], axes=[2, 3], keepdims=0),
    ]
    for i, (a, b) in enumerate(_PARTS):
        for name, value in (("from", a), ("to", b), ("axis", 3)):
            initializers.append(numpy_helper.from_array(np.array([value], np.int64), f"part{i}.{name}"))
        nodes += [
            helper.make_node(
                "Slice", [_FEATURE, f"part{i}.from", f"part{i}.to", f"part{i}.axis"], [f"part{i}"]
            ),
            helper.make_node("ReduceMean", [f"part{i}"], [f"part{i}.mean"], axes=[2, 3], keepdims=0),
        ]
    pooled = ["mean", "max", *(f"part{i}.mean" for i in range(len(_PARTS)))]
    nodes += [
        helper.make_node("Concat", pooled, ["pooled"], axis=1), helper.make_node("MatMul", ["pooled", "head.w"], ["head.m"]),
        helper.make_node("Add", ["head.m", "head.b"], ["head.a"]), helper.make_node("Softmax", ["head.a"], ["regions"], axis=1),
    ]  # fmt: skip
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    model.ClearField("metadata_props")
    helper.set_model_props(model, {"regions": ",".join(REGIONS)})
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=21, help="another one where MODEL was trained before")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    net = RegionNet(args.model)
    held = flats.load(args.work / "flats")[:400]
    rng, streets = random.Random(5), streets_of(args.photographs)
    x_held, y_held = collated([sample(held, streets, rng) for _ in range(600)])
    shares = {"body": 0.3, "head": 3.0}
    optimizer = torch.optim.AdamW(
        [
            {"params": getattr(net, name).parameters(), "lr": args.rate * k, "k": k}
            for name, k in shares.items()
        ],
        weight_decay=0.02,
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    loader = iter(
        torch.utils.data.DataLoader(
            Stream(args.work / "flats", args.photographs, args.batch, args.seed),
            batch_size=None,
            num_workers=1,
            multiprocessing_context="spawn",
            prefetch_factor=8,
        )
    )
    start, step, logged_at, running = time.time(), 0, time.time(), 0.0
    while (share := (time.time() - start) / (args.minutes * 60)) < 1:
        rate = max(args.rate * min(1, (step + 1) / 60) * (0.5 + 0.5 * np.cos(np.pi * share)), 1e-6)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["k"]
        x, y = next(loader)
        loss = F.cross_entropy(net(x), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        averaged.update_parameters(net)
        step += 1
        running = 0.98 * running + 0.02 * loss.item() if step > 1 else loss.item()
        if time.time() - logged_at > 90:
            logged_at = time.time()
            right, wrong = accuracy(averaged.module, x_held, y_held)
            print(
                f"{time.time() - start:.0f} s, step {step}, loss {running:.3f}, held-out right {right:.3f}; {wrong}",
                flush=True,
            )
            write(averaged.module, args.out)
    write(averaged.module, args.out)
    print(f"done: {args.out}")


@torch.no_grad()
def accuracy(net: RegionNet, x: Tensor, y: Tensor) -> tuple[float, str]:
    """Accuracy, and the most frequent confusions."""
    net.eval()
    predicted = torch.cat([net(part).argmax(1) for part in x.split(50)])
    net.train()
    pairs = Counter(
        (REGIONS[a], REGIONS[b]) for a, b in zip(y.tolist(), predicted.tolist(), strict=True) if a != b
    )
    return float((predicted == y).float().mean()), ", ".join(
        f"{a}>{b} {n}" for (a, b), n in pairs.most_common(6)
    )


if __name__ == "__main__":
    main()
