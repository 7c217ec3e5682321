"""The reference's mosaics from pictures in memory: samples for a second of processor time. Run in the reference's folder, by
tests/interop/reference.py.

    loader.py DATA.yaml SIZE SAMPLES
"""
import os
import sys
import time

import cv2
import torch
import yaml

from utils.datasets import LoadImagesAndLabels

cv2.setNumThreads(0)
torch.set_num_threads(1)
data, size, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(data) as f:
    train = yaml.safe_load(f)['train']
if not os.path.exists(train):
    train = os.path.join(os.path.dirname(os.path.abspath(data)), train)
with open('data/hyp.scratch.yaml') as f:
    hyp = yaml.safe_load(f)
stdout = sys.stdout
sys.stdout = sys.stderr  # the reference talks
pictures = LoadImagesAndLabels(train, size, 16, augment=True, hyp=hyp, cache_images=True)
started = time.process_time()
for i in range(samples):
    pictures[i % len(pictures)]
print(f'{samples / (time.process_time() - started):.4g}', file=stdout)
