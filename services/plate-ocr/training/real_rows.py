"""Rows of the real plates in the photographs, with the texts that the original recognizer reads where they fit the
country's format: real light and real lenses beside the drawn plates.

    real_rows.py WORK DETECTOR.onnx RECOGNIZER.onnx PHOTOGRAPHS
"""

import pickle
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import scenes
import train_detector

_ROMANIA = re.compile(r"^(B\d{2,3}|[A-Z]{2}\d{2})[A-Z]{3}$")
_SAUDI = re.compile(r"^\d{1,4}[ABJDRSXTEGKLZNHUV]{3}$")
_SURE = 0.85


def main() -> None:
    work, detector, recognizer, folder = (Path(a) for a in sys.argv[1:5])
    photos = scenes.photographs(folder)
    train_detector.label_rows(photos, detector)
    session = onnxruntime.InferenceSession(str(recognizer))
    listed = {p.key: p.value for p in onnx.load(str(recognizer)).metadata_props}["character"].splitlines()
    classes = ["", *listed, " "]
    kept = []
    for photo in photos:
        image = cv2.imread(str(photo.file))
        is_saudi = "saudi" in str(photo.file)
        for quad in (q for rows in photo.rows for q in rows):
            crop = _cut(image, quad)
            posterior = session.run(
                None, {"x": (crop.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]}
            )[0][0]
            path = posterior.argmax(1)
            steps = [i for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
            text = "".join(
                c for c in "".join(classes[path[i]] for i in steps).upper() if c.isascii() and c.isalnum()
            )
            sure = min((posterior[i, path[i]] for i in steps if classes[path[i]].isalnum()), default=0)
            if sure >= _SURE and (_SAUDI if is_saudi else _ROMANIA).match(text):
                label = re.sub(r"(\d)([A-Z]{3})$", r"\1|\2", text) if is_saudi else text
                x, y = quad.min(0) - 30, quad.max(0) + 30
                left, top = (max(int(v), 0) for v in x)
                part = image[top : int(y[1]), left : int(y[0])]
                kept.append(
                    (
                        cv2.imencode(".png", part)[1].tobytes(),
                        (quad - (left, top)).tolist(),
                        label,
                        "sa" if is_saudi else "eu",
                    )
                )
    (work / "real-rows.pkl").write_bytes(pickle.dumps(kept))
    print(f"{len(kept)} real rows kept: {', '.join(k[2] for k in kept[:20])} ...")


def _cut(image: np.ndarray, quad: np.ndarray) -> np.ndarray:
    w = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    h = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    columns = max(round(48 * w / max(h, 1) / 32), 1) * 32
    target = np.array([[0, 0], [columns, 0], [columns, 48], [0, 48]], np.float32)
    return cv2.warpPerspective(
        image,
        cv2.getPerspectiveTransform(quad.astype(np.float32), target),
        (columns, 48),
        flags=cv2.INTER_CUBIC,
    )


if __name__ == "__main__":
    main()
