"""What a validation of ours does around the network, once more in NumPy: pictures in, suppression, boxes out.

For pictures whose longer side is the size that was validated, so that nothing is resized, validated one by one: each gets a border
of its own, up to whole strides.
"""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

GREY, PAD = 114, 0.5
MIN_SCORE, MAX_IOU, MOST = 0.001, 0.65, 300


@dataclass
class Picture:
    name: str
    size: tuple  # width and height in the file
    border: tuple  # left and top
    input: np.ndarray  # float32 (1, 3, height, width), RGB, 0 to 1


def name_of(stem):
    """A picture's name in COCO's files."""
    return int(stem) if stem.isnumeric() else stem


def load_picture(file, stride):
    pixels = np.asarray(Image.open(file).convert('RGB'))
    height, width = pixels.shape[:2]
    h, w = (int(np.ceil(side / stride + PAD)) * stride for side in (height, width))
    top, left = round((h - height) / 2 - 0.1), round((w - width) / 2 - 0.1)
    canvas = np.full((h, w, 3), GREY, np.uint8)
    canvas[top:top + height, left:left + width] = pixels
    return Picture(file.stem, (width, height), (left, top), canvas.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def load_pictures(folder, stride=32):
    return [load_picture(f, stride) for f in sorted(Path(folder).glob('*.png'))]


def overlap(box, boxes):
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    inter = (high - low).clip(0).prod(1)
    area = lambda b: (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return inter / (area(box) + area(boxes) - inter)


def suppress(rows):
    """Rows of one picture to boxes x1 y1 x2 y2 score class, best first; several labels a box."""
    rows = rows[rows[:, 4] > MIN_SCORE]
    scores = rows[:, 5:] * rows[:, 4:5]
    which, label = np.nonzero(scores > MIN_SCORE)
    half = rows[which, 2:4] / 2
    boxes = np.concatenate((rows[which, :2] - half, rows[which, :2] + half, scores[which, label][:, None],
                            label[:, None]), 1)
    boxes = boxes[np.argsort(-boxes[:, 4], kind='stable')]
    kept = []
    while len(boxes) and len(kept) < MOST:
        best, boxes = boxes[0], boxes[1:]
        kept.append(best)
        boxes = boxes[(boxes[:, 5] != best[5]) | (overlap(best, boxes) <= MAX_IOU)]
    return np.array(kept).reshape(-1, 6)


def read_json(path):
    """Boxes of each picture by its name, as suppress gives them."""
    pictures = {}
    for d in json.loads(Path(path).read_text()):
        x, y, w, h = d['bbox']
        pictures.setdefault(str(d['image_id']), []).append((x, y, x + w, y + h, d['score'], d['category_id']))
    return {name: np.array(boxes) for name, boxes in pictures.items()}


def missing(boxes, others, least_score=0.002, pixels=0.06):
    """How many of the boxes have no like among the others, and of how many."""
    count = lacking = 0
    for b in boxes[boxes[:, 4] > least_score]:
        near = (np.abs(others[:, :4] - b[:4]).max(1) < pixels) & (np.abs(others[:, 4] - b[4]) < 2e-5 + 1e-3 * b[4])
        count += 1
        lacking += not (near & (others[:, 5] == b[5])).any()
    return lacking, count


def found(picture, rows):
    """The boxes in a picture's own pixels; they may reach into its border."""
    boxes = suppress(np.asarray(rows, np.float64))
    height, width = picture.input.shape[2:]
    boxes[:, :4] = boxes[:, :4].clip(0, np.tile((width, height), 2)) - np.tile(picture.border, 2)
    return boxes


def compare(pictures, rows, path):
    """Decoded rows of some pictures against the detections in a JSON file, both ways. A box in a thousand may differ: what lies on a
    threshold falls to either side with the last bit."""
    ours, lacking, count = read_json(path), 0, 0
    for picture, of_picture in zip(pictures, rows):
        theirs = found(picture, of_picture)
        theirs[:, :4] = theirs[:, :4].clip(0, np.tile(picture.size, 2))
        mine = ours.get(str(name_of(picture.name)), np.zeros((0, 6)))
        for a, b in ((mine, theirs), (theirs, mine)):
            bad, all_of_them = missing(a, b)
            lacking, count = lacking + bad, count + all_of_them
    print(f'{count} boxes in {len(pictures)} pictures, {lacking} without a like')
    assert count > 20 and lacking <= count / 1000, f'{lacking} of {count} boxes have no like'
