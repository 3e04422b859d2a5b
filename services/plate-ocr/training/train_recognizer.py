"""Trains the row recognizer: PP-OCR's recognizer (Apache-2.0), its head reduced to the plate alphabet.

    train_recognizer.py WORK MODEL.onnx OUT.onnx --minutes N

Reads the flat plates in WORK/flats. Writes OUT as often as it is better on held-out plates, so it may be stopped.
"""

import argparse
import pickle
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
from onnx import TensorProto, helper, numpy_helper
from onnx_graph import OnnxModule
from torch import Tensor, nn

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLASSES = ["", *ALPHABET, "|"]
INDEX = {c: i for i, c in enumerate(CLASSES)}
ROW_PX, STEP_PX, MOST_PX = 48, 32, 320
_FROZEN = 40
"""Number of frozen weights: the stem and the first two stages."""


class Recognizer(nn.Module):
    """x: (N, 3, 48, W) in -1..1. Gives log-probabilities (N, W / 8, 38)."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        loaded = onnx.load(str(model))
        self.body = OnnxModule(model, [self._feature_name(loaded.graph)])
        arrays = {i.name: numpy_helper.to_array(i) for i in loaded.graph.initializer}
        if "head.w" in arrays:  # one of ours, trained before
            weight, bias = arrays["head.w"], arrays["head.b"]
        else:
            listed = {p.key: p.value for p in loaded.metadata_props}["character"].splitlines()
            place = {c: i + 1 for i, c in enumerate(listed)}
            columns = [0, *(place[c] for c in ALPHABET), place["-"]]
            weight, bias = arrays["linear_8.w_0"][:, columns], arrays["linear_8.b_0"][columns]
        self.weight, self.bias = (nn.Parameter(torch.from_numpy(a.copy())) for a in (weight, bias))

    @staticmethod
    def _feature_name(graph: onnx.GraphProto) -> str:
        return next(
            n for n in graph.node if n.op_type == "MatMul" and {"linear_8.w_0", "head.w"} & set(n.input)
        ).input[0]

    def forward(self, x: Tensor) -> Tensor:
        # Half precision doubles the speed on processors that have it; the sums of CTC need full precision.
        with torch.autocast("cpu", torch.bfloat16):
            (features,) = self.body(x.contiguous(memory_format=torch.channels_last))
        return F.log_softmax(features.float() @ self.weight + self.bias, -1)


def real_sample(real: list, rng: random.Random) -> tuple[np.ndarray, list[int]]:
    png, quad, text, _ = real[rng.randrange(len(real))]
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    crop = degrade.row_crop(image, np.array(quad, np.float32), rng)
    if rng.random() < 0.5:
        crop = degrade.lit(crop, rng)
    return crop, [INDEX[c] for c in text]


def sample(pool: list[flats.Flat], rng: random.Random) -> tuple[np.ndarray, list[int]]:
    """One row: picture and classes."""
    while True:
        flat = pool[rng.randrange(len(pool))]
        row = flat.rows[rng.randrange(len(flat.rows))]
        if row.text or rng.random() < 0.6:
            break
    image = flat.image()
    x, y, w, h = flat.inner
    quad = np.array(
        [[row.left, row.top], [row.right, row.top], [row.right, row.bottom], [row.left, row.bottom]],
        np.float32,
    ) * (w, h) + (x, y)
    crop = degrade.row_crop(image, quad.astype(np.float32), rng)
    return degrade.spoiled(crop, rng), [INDEX[c] for c in row.text]


def padded(crop: np.ndarray, width: int) -> np.ndarray:
    filled = np.full((ROW_PX, width, 3), 127, np.uint8)
    crop = crop if crop.shape[1] <= width else cv2.resize(crop, (width, ROW_PX), interpolation=cv2.INTER_AREA)
    filled[:, : crop.shape[1]] = crop
    return filled


class Stream(torch.utils.data.IterableDataset):
    """Batches of rows of the same width."""

    def __init__(self, folder: Path, batch: int, seed: int, hold_out: int) -> None:
        self.folder, self.batch, self.seed, self.hold_out = folder, batch, seed, hold_out

    def __iter__(self):
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        rng = random.Random(
            self.seed + (torch.utils.data.get_worker_info().id if torch.utils.data.get_worker_info() else 0)
        )
        pool = flats.load(self.folder)[self.hold_out :]
        real = pickle.loads((self.folder.parent / "real-rows.pkl").read_bytes())
        while True:
            made = (
                real_sample(real, rng) if rng.random() < 0.12 else sample(pool, rng)
                for _ in range(self.batch * 6)
            )
            rows = sorted(made, key=lambda row: row[0].shape[1])
            groups = [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
            rng.shuffle(groups)
            for group in groups:
                yield collated(group)


def collated(group: list) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(g[1]) for g in group)
    width = min(-(-max(*(g[0].shape[1] for g in group), (2 * longest + 2) * 8) // STEP_PX) * STEP_PX, MOST_PX)
    x = np.stack([padded(g[0], width) for g in group]).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    labels = torch.tensor([c for g in group for c in g[1]], dtype=torch.long)
    return (
        torch.from_numpy(x),
        labels,
        torch.tensor([len(g[1]) for g in group]),
    )


def loss_of(recognizer: Recognizer, batch: tuple) -> Tensor:
    x, labels, lengths = batch
    log_p = recognizer(x)
    steps = torch.full((len(x),), log_p.shape[1], dtype=torch.long)
    ctc = F.ctc_loss(log_p.transpose(0, 1), labels, steps, lengths, zero_infinity=True, reduction="none")
    return (ctc / lengths.clamp(min=1)).mean()


@torch.no_grad()
def accuracy(recognizer: Recognizer, rows: list) -> float:
    """The share of the rows that are recognized without an error."""
    recognizer.eval()
    right = 0
    for i in range(0, len(rows), 32):
        x, labels, lengths = collated(rows[i : i + 32])
        at = 0
        for path, n in zip(recognizer(x).argmax(-1).tolist(), lengths.tolist(), strict=True):
            read = [c for j, c in enumerate(path) if c and (j == 0 or path[j - 1] != c)]
            right += read == labels[at : at + n].tolist()
            at += n
    recognizer.train()
    return right / len(rows)


def write(recognizer: Recognizer, out: Path) -> None:
    """Writes the original graph with the new weights and the reduced head."""
    model = recognizer.body.written_back()
    graph = model.graph
    feature = recognizer.body.outputs[0]
    last = next(i for i, n in enumerate(graph.node) if {"linear_8.w_0", "head.w"} & set(n.input))
    nodes = list(graph.node)[:last]
    graph.ClearField("node")
    graph.node.extend(nodes)
    kept = [
        i
        for i in graph.initializer
        if i.name not in {"linear_8.w_0", "linear_8.b_0"} and not i.name.startswith(("head.", "region."))
    ]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    for name, value in (("head.w", recognizer.weight), ("head.b", recognizer.bias)):
        graph.initializer.append(
            numpy_helper.from_array(value.detach().numpy().astype(np.float32).copy(), name)
        )
    graph.node.extend([
        helper.make_node("MatMul", [feature, "head.w"], ["head.m"]), helper.make_node("Add", ["head.m", "head.b"], ["head.a"]),
        helper.make_node("Softmax", ["head.a"], ["characters"], axis=2),
    ])  # fmt: skip
    graph.ClearField("output")
    graph.output.append(
        helper.make_tensor_value_info("characters", TensorProto.FLOAT, ["rows", "steps", len(CLASSES)])
    )
    graph.ClearField("value_info")
    model.ClearField("metadata_props")
    helper.set_model_props(model, {"alphabet": "".join(CLASSES)})
    onnx.save(model, str(out))


def write_if_better(recognizer: Recognizer, rows: list, best: float, step: int, out: Path) -> float:
    """The better of `best` and the current accuracy on the rows; the model is written when it is not worse."""
    found = accuracy(recognizer, rows)
    print(f"step {step}: {found:.3f} of the held-out rows right", flush=True)
    if found >= best:
        write(recognizer, out)
    return max(best, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1.5e-4)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    recognizer = Recognizer(args.model)
    held = flats.load(args.work / "flats")[:400]
    rng = random.Random(7)
    rows = [sample(held, rng) for _ in range(480)]
    # To keep what was learned from millions of photographs, the backbone has the lowest rate, and its first layers are
    # frozen (a quarter of the time of a step, and strokes look the same on every plate).
    for weight in recognizer.body.first_weights(_FROZEN):
        weight.requires_grad_(requires_grad=False)
    shares = {"body": 1.0, "weight": 2.0, "bias": 2.0}
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [
                    p for n, p in recognizer.named_parameters() if n.split(".")[0] == name and p.requires_grad
                ],
                "lr": args.rate * k,
                "k": k,
            }
            for name, k in shares.items()
        ],
        weight_decay=0.01,
    )
    loader = iter(
        torch.utils.data.DataLoader(
            Stream(args.work / "flats", args.batch, 11, 400),
            batch_size=None,
            num_workers=1,
            multiprocessing_context="spawn",
            prefetch_factor=8,
        )
    )
    print("before", accuracy(recognizer, rows), flush=True)
    averaged = torch.optim.swa_utils.AveragedModel(
        recognizer, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    )
    start, step, best, logged_at = time.time(), 0, -1.0, time.time()
    while (share := (time.time() - start) / (args.minutes * 60)) < 1:
        rate = args.rate * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * min(share, 1)))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-6) * group["k"]
        loss = loss_of(recognizer, next(loader))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(recognizer.parameters(), 2.0)
        optimizer.step()
        averaged.update_parameters(recognizer)
        step += 1
        if step % 100 == 0:
            print(f"{time.time() - start:.0f} s, step {step}, loss {loss.item():.3f}", flush=True)
        if time.time() - logged_at > 240:
            logged_at = time.time()
            best = write_if_better(averaged.module, rows, best, step, args.out)
    write_if_better(averaged.module, rows, best, step, args.out)
    print(f"done: {args.out}")


if __name__ == "__main__":
    main()
