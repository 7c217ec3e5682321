"""best.state.pt in plain torch: loaded without any code, and with the same detections as ours.

    torch_forward.py best.state.pt PICTURES DETECTIONS.json FOUND.npz

FOUND.npz gets what was found here, as far as the border around a picture, by the picture's name.
"""
import sys

import numpy as np
import torch

import detections
import network

state = torch.load(sys.argv[1], weights_only=True)
assert all(isinstance(v, torch.Tensor) for v in state.values())
pictures = detections.load_pictures(sys.argv[2])
with torch.no_grad():
    rows = [network.rows(state, network.forward(state, torch.from_numpy(p.input)))[0].numpy() for p in pictures]
detections.compare(pictures, rows, sys.argv[3])
np.savez(sys.argv[4], **{p.name: detections.found(p, r) for p, r in zip(pictures, rows)})
