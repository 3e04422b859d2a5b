"""Draws a set of flat plates once: the trainings augment them anew each time they are used."""

import pickle
import random
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
import plates
from plates import Picture, Row


@dataclass(frozen=True, slots=True)
class Flat:
    """`jpeg`: the framed plate. `inner`: the plate's own x, y, width, height in it, pixels."""

    jpeg: bytes
    inner: tuple[int, int, int, int]
    region: str
    rows: tuple[Row, ...]

    def image(self) -> Picture:
        return cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)


def make(count: int, seed: int) -> list[Flat]:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        plate = plates.draw(rng)
        image, (x, y) = plates.framed(plate, rng)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        h, w = plate.image.shape[:2]
        made.append(Flat(jpeg.tobytes(), (x, y, w, h), plate.region, tuple(plate.rows)))
        if number % 1000 == 999:
            print(f"{number + 1} of {count} plates drawn", flush=True)
    return made


def load(folder: Path) -> list[Flat]:
    kept = [one for file in sorted(folder.glob("flats-*.pkl")) for one in pickle.loads(file.read_bytes())]
    return [Flat(jpeg, inner, region, tuple(Row(*row) for row in rows)) for jpeg, inner, region, rows in kept]


if __name__ == "__main__":
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"flats-{seed}.pkl").write_bytes(
        pickle.dumps([(f.jpeg, f.inner, f.region, [astuple(r) for r in f.rows]) for f in make(count, seed)])
    )
