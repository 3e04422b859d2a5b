"""Trains the row detector: PP-OCR's text detector (Apache-2.0), fine-tuned to mark only the rows of number plates.

    train_detector.py WORK MODEL.onnx PHOTOGRAPHS OUT.onnx --minutes N

PHOTOGRAPHS: a folder of FILE.jpg + FILE.txt (YOLO boxes of plates). The rows of real plates are
labelled by the original network on the plate alone; those of drawn plates are known.
"""

import argparse
import random
import time
from pathlib import Path

import cv2
import flats
import numpy as np
import onnx
import onnxruntime
import scenes
import torch
import torch.nn.functional as F  # noqa: N812
from onnx_graph import OnnxModule
from torch import Tensor, nn

SIZE_PX = 320
_FROZEN = 8
"""Number of frozen weights: the stem at half resolution, a fifth of the time of a step; edges look the same everywhere."""
_SHRINK = 0.4  # of DBNet: the mark is the row's core, inset by (1 - r^2) * area / length


def core(quad: np.ndarray) -> np.ndarray:
    """The part of a row that the network marks (Liao et al., 2020)."""
    area, length = (
        float(cv2.contourArea(quad.astype(np.float32))),
        float(cv2.arcLength(quad.astype(np.float32), True)),
    )
    inset = area * (1 - _SHRINK**2) / max(length, 1e-3)
    right, down = quad[1] - quad[0], quad[3] - quad[0]
    w, h = float(np.linalg.norm(right)), float(np.linalg.norm(down))
    inset = min(inset, 0.4 * h, 0.4 * w)
    a, b = right / max(w, 1e-3) * inset, down / max(h, 1e-3) * inset
    return quad + np.array([a + b, -a + b, -a - b, a - b])


def target_of(quads: list[np.ndarray]) -> np.ndarray:
    mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    for quad in quads:
        cv2.fillPoly(mask, [np.round(core(quad) * 16).astype(np.int32)], 1, shift=4)
    return mask


def label_rows(photos: list[scenes.Photograph], model: Path) -> None:
    """Fills `rows` with what the original detector marks inside each plate, in the lower half where it has two scripts."""
    session = onnxruntime.InferenceSession(str(model))
    for photo in photos:
        image = cv2.imread(str(photo.file))
        two_scripts = "saudi" in str(photo.file)
        for index, (x, y, w, h) in enumerate(photo.boxes):
            left, top = max(int(x - 0.4 * h), 0), max(int(y - 0.5 * h), 0)
            part = image[top : int(y + 1.5 * h), left : int(x + w + 0.4 * h)]
            if part.size == 0:
                continue
            scale = 224 / max(part.shape[1], 1)
            size = (224, max(round(part.shape[0] * scale / 32), 1) * 32)
            net = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
            found = session.run(None, {"x": (net.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]})[
                0
            ][0, 0]
            contours, _ = cv2.findContours(
                (found > 0.3).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
            )
            for contour in contours:
                (cx, cy), (rw, rh), angle = cv2.minAreaRect(contour)
                if min(rw, rh) < 3:
                    continue
                grow = rw * rh * 1.6 / (2 * (rw + rh)) * 2
                box = cv2.boxPoints(((cx, cy), (rw + grow, rh + grow), angle)) * (
                    part.shape[1] / size[0],
                    part.shape[0] / size[1],
                ) + (left, top)
                quad = _ordered(box)
                middle = quad.mean(0)
                inside = x <= middle[0] <= x + w and y <= middle[1] <= y + h
                tall = np.linalg.norm(quad[3] - quad[0]) >= (0.2 if two_scripts else 0.4) * h
                if inside and tall and not (two_scripts and middle[1] < y + 0.5 * h):
                    photo.rows[index].append(quad)
            if not photo.rows[index]:
                box = (x, y + (0.5 if two_scripts else 0.12) * h, w, h * (0.42 if two_scripts else 0.76))
                photo.rows[index].append(
                    np.array(
                        [
                            [box[0], box[1]],
                            [box[0] + box[2], box[1]],
                            [box[0] + box[2], box[1] + box[3]],
                            [box[0], box[1] + box[3]],
                        ]
                    )
                )


def _ordered(box: np.ndarray) -> np.ndarray:
    by_x = box[np.argsort(box[:, 0], kind="stable")]
    (a, d), (b, c) = (side[np.argsort(side[:, 1])] for side in (by_x[:2], by_x[2:]))
    return np.array([a, b, c, d])


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, work: Path, photos: list[scenes.Photograph], batch: int, seed: int) -> None:
        self.work, self.photos, self.batch, self.seed = work, photos, batch, seed

    def __iter__(self):
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        rng, pool = random.Random(self.seed), flats.load(self.work / "flats")
        # Bands with a code are the rows that are missed most.
        bands = [flat for flat in pool if flat.region == "ae-az" and len(flat.rows) == 2]
        pool += bands * 2
        while True:
            made = [
                scenes.scene(self.photos[rng.randrange(len(self.photos))], pool, rng, SIZE_PX)
                for _ in range(self.batch)
            ]
            x = np.stack([m[0] for m in made]).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
            yield torch.from_numpy(x), torch.from_numpy(np.stack([target_of(m[1]) for m in made])).float()


def loss_of(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over the marks and three times as many of the hardest negatives, plus Dice loss."""
    logits = logits[:, 0].float()
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    marked = wanted > 0.5
    count = int(marked.sum())
    worst = entropy[~marked].topk(min(max(3 * count, 3000), int((~marked).sum()))).values
    balanced = (entropy[marked].sum() + worst.sum()) / max(count + len(worst), 1)
    dice = 1 - 2 * (p * wanted).sum() / (p.sum() + wanted.sum() + 1)
    return balanced * 3 + dice


def _logits_of(graph: onnx.GraphProto) -> str:
    """The name of the last sigmoid's input."""
    made = {output: node for node in graph.node for output in node.output}
    node = made[graph.output[0].name]
    while node.op_type != "Sigmoid":
        node = made[node.input[0]]
    return str(node.input[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--ask", type=Path, help="the untrained network, where MODEL is one that was trained before"
    )
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    photos = scenes.photographs(args.photographs)
    label_rows(photos, args.ask or args.model)
    print(
        f"{len(photos)} photographs, {sum(len(r) for p in photos for r in p.rows)} rows of real plates",
        flush=True,
    )
    detector = OnnxModule(args.model, [_logits_of(onnx.load(str(args.model)).graph)])
    for weight in detector.first_weights(_FROZEN):
        weight.requires_grad_(requires_grad=False)
    trained = [p for p in detector.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.01)
    averaged = torch.optim.swa_utils.AveragedModel(
        detector, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    loader = iter(
        torch.utils.data.DataLoader(
            Stream(args.work, photos, args.batch, 5),
            batch_size=None,
            num_workers=1,
            multiprocessing_context="spawn",
            prefetch_factor=6,
        )
    )
    start, step, running, logged_at = time.time(), 0, 0.0, time.time()
    while (share := (time.time() - start) / (args.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = max(
                args.rate * min(1.0, (step + 1) / 60) * (0.5 + 0.5 * np.cos(np.pi * share)), 1e-6
            )
        x, wanted = next(loader)
        with torch.autocast("cpu", torch.bfloat16):
            logits = detector(x.contiguous(memory_format=torch.channels_last))[0]
        loss = loss_of(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 2.0)
        optimizer.step()
        averaged.update_parameters(detector)
        step += 1
        running += loss.item()
        if step % 50 == 0:
            print(f"{time.time() - start:.0f} s, step {step}, loss {running / 50:.3f}", flush=True)
            running = 0.0
        if time.time() - logged_at > 180 or share > 0.99:
            logged_at = time.time()
            onnx.save(averaged.module.written_back(), str(args.out))
    onnx.save(averaged.module.written_back(), str(args.out))
    print(f"done: {args.out}")


if __name__ == "__main__":
    main()
