"""A drawn picture that every network has something to do on, for the first run after loading."""

import cv2
import numpy as np

from plate_ocr.domain.values import Picture


def warm_up_picture() -> Picture:
    """A white plate on grey, 1280 x 720 px."""
    picture = np.full((720, 1280, 3), 96, np.uint8)
    cv2.rectangle(picture, (520, 340), (760, 400), (245, 245, 245), cv2.FILLED)
    cv2.putText(picture, "D 71026", (540, 384), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (20, 20, 20), 4)
    return picture
