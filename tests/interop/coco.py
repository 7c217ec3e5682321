"""Our detections scored by pycocotools, beside our own mAP; and what the difference is made of.

    coco.py LABELS PICTURES DETECTIONS.json FOUND.npz MAP50 MAP
        FOUND.npz: of torch_forward.py; MAP50 MAP: as printed by train --task val

YOLOv5's mAP (and ours) differs from COCO's in how boxes are matched, how the area under the curve is taken, how many boxes count, and
whether they are cut off at the picture's edge. Both are computed once more here, from the same detections, with these as switches:
one setting has to give our numbers, the other those of pycocotools.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import detections

CLASSES = 3
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def read_truth(labels, pictures):
    """Rows of class x1 y1 x2 y2 of each picture, and its size, by its name."""
    truth = {}
    for picture in sorted(pictures.glob('*.png')):
        size = np.array(Image.open(picture).size)
        file = labels / (picture.stem + '.txt')
        lines = file.read_text().splitlines() if file.exists() else []
        rows = np.array([line.split() for line in lines], float).reshape(-1, 5)
        low, high = rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2
        truth[detections.name_of(picture.stem)] = np.concatenate((rows[:, :1], low * size, high * size), 1), size
    return truth


def ask_pycocotools(truth, found):
    data = {'info': {}, 'images': [], 'annotations': [], 'categories': [{'id': c} for c in range(CLASSES)]}
    for name, (rows, size) in truth.items():
        data['images'].append({'id': name, 'width': int(size[0]), 'height': int(size[1])})
        for cls, x1, y1, x2, y2 in rows:
            data['annotations'].append({'id': len(data['annotations']) + 1, 'image_id': name, 'category_id': int(cls),
                                        'bbox': [x1, y1, x2 - x1, y2 - y1], 'area': (x2 - x1) * (y2 - y1), 'iscrowd': 0})
    coco = COCO()
    coco.dataset = data
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(str(found)), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[1], evaluation.stats[0]


def match(boxes, targets, each_threshold):
    """(boxes, thresholds): is it right? Each box goes to the target that it fits best, which the first one that fits takes for all
    thresholds; or, for each threshold by itself, to the best of those that are still free."""
    right = np.zeros((len(boxes), len(THRESHOLDS)), bool)
    if not len(targets):
        return right
    free = np.ones((len(targets), len(THRESHOLDS)), bool)
    for i, box in enumerate(boxes):
        fit = detections.overlap(box, targets)
        if each_threshold:
            for t, threshold in enumerate(THRESHOLDS):
                best = np.argmax(np.where(free[:, t], fit, -1))
                if free[best, t] and fit[best] >= threshold:
                    right[i, t], free[best, t] = True, False
        else:
            best = np.argmax(fit)
            if free[best, 0] and fit[best] > THRESHOLDS[0]:
                right[i], free[best] = fit[best] > THRESHOLDS, False
    return right


def area(right, targets, steps):
    """Under the envelope of precision over recall: trapezoids between 101 points, with an end behind the last recall; or the mean
    of its steps at these points."""
    hits = np.cumsum(right)
    recall, precision = hits / targets, hits / np.arange(1, len(right) + 1)
    points = np.linspace(0, 1, 101)
    if steps:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, points, side='left')
        return np.append(precision, 0)[np.minimum(at, len(precision))].mean()
    recall = np.concatenate(([0], recall, [min(recall[-1] + 1e-3, 1)]))
    precision = np.maximum.accumulate(np.concatenate(([0], precision, [0]))[::-1])[::-1]
    y = np.interp(points, recall, precision)
    return ((y[1:] + y[:-1]) / 2 * np.diff(points)).sum()


def score(truth, found, each_threshold, steps, most):
    means = []
    for cls in range(CLASSES):
        right, scores, targets = [], [], 0
        for name, (rows, _) in truth.items():
            boxes = found.get(str(name), np.zeros((0, 6)))
            boxes = boxes[boxes[:, 5] == cls][:most]
            own = rows[rows[:, 0] == cls, 1:]
            right.append(match(boxes, own, each_threshold))
            scores.append(boxes[:, 4])
            targets += len(own)
        order = np.argsort(-np.concatenate(scores), kind='stable')
        right = np.concatenate(right)[order]
        if targets:
            means.append([area(right[:, t], targets, steps) if len(right) else 0 for t in range(len(THRESHOLDS))])
    means = np.mean(means, 0)
    return means[0], means.mean()


def near(got, want, slack):
    for a, b in zip(got, want):
        assert abs(a - b) < slack * max(1, 100 * b), (got, want)


labels, pictures, path = map(Path, sys.argv[1:4])
printed = [float(v) for v in sys.argv[5:]]
truth, cut = read_truth(labels, pictures), detections.read_json(path)
whole = {str(detections.name_of(stem)): boxes for stem, boxes in np.load(sys.argv[4]).items()}
official = ask_pycocotools(truth, path)
for words, boxes, switches in (('as YOLOv5', whole, (False, False, 300)), ('boxes end at the edge', cut, (False, False, 300)),
                               ('100 boxes a class', cut, (False, False, 100)), ('the area by steps', cut, (False, True, 100)),
                               ('each threshold by itself', cut, (True, True, 100))):
    got = score(truth, boxes, *switches)
    print(f'{words:25} mAP@.5 {got[0]:.4f}  mAP@.5:.95 {got[1]:.4f}')
    if boxes is whole:
        print(f"{'  (printed)':25} mAP@.5 {printed[0]}  mAP@.5:.95 {printed[1]}")
        near(got, printed, 1e-4)  # three digits are printed
print(f"{'pycocotools':25} mAP@.5 {official[0]:.4f}  mAP@.5:.95 {official[1]:.4f}")
assert printed[0] > 0.1, 'hardly anything was found'
near(got, official, 1e-5)
