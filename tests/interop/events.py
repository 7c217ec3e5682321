"""A training's events through the tensorboard package's own reader, beside its results.txt.

    events.py RUN_FOLDER LABELS       (LABELS: how many the training set has)
"""
import io
import sys
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

TAGS = ['train/giou_loss', 'train/obj_loss', 'train/cls_loss', 'metrics/precision', 'metrics/recall', 'metrics/mAP_0.5',
        'metrics/mAP_0.5:0.95', 'val/giou_loss', 'val/obj_loss', 'val/cls_loss', 'x/lr0', 'x/lr1', 'x/lr2']
COLUMNS = [2, 3, 4, 8, 9, 10, 11, 12, 13, 14]  # of results.txt, for all but the learning rates

run, labels = Path(sys.argv[1]), int(sys.argv[2])
everything = {event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0, event_accumulator.HISTOGRAMS: 0}
reader = event_accumulator.EventAccumulator(str(run), size_guidance=everything)
reader.Reload()
tags = reader.Tags()
assert tags['scalars'] == TAGS, tags['scalars']
rows = [line.split() for line in next(run.glob('results*.txt')).read_text().splitlines()]
for tag, column in zip(TAGS, COLUMNS):
    values = reader.Scalars(tag)
    assert [v.step for v in values] == list(range(len(rows)))
    for v, row in zip(values, rows):  # four digits are printed
        assert abs(v.value - float(row[column])) <= 6e-4 * abs(v.value) + 1e-12, (tag, v, row[column])
assert all(0 < v.value <= 0.1 for tag in TAGS[-3:] for v in reader.Scalars(tag))
histogram = reader.Histograms('classes')[0].histogram_value
assert tags['histograms'] == ['classes'] and histogram.num == labels == sum(histogram.bucket), histogram
pictures = sorted(tags['images'])
assert [Path(p).name for p in pictures] == [f'train_batch{i}.jpg' for i in range(3)], pictures
for tag in pictures:
    event = reader.Images(tag)[0]
    picture = Image.open(io.BytesIO(event.encoded_image_string))
    picture.load()
    assert picture.size == (event.width, event.height)
print(f'{len(TAGS)} tags over {len(rows)} epochs, {labels} labels, {len(pictures)} pictures')
