"""Exported models in onnxruntime.

    onnx_outputs.py raw FILE.onnx best.state.pt PICTURES         raw heads beside those of network.py
    onnx_outputs.py decoded FILE.onnx best.state.pt PICTURES     decoded rows, too
    onnx_outputs.py found FILE.onnx PICTURES DETECTIONS.json     decoded rows of any model, suppressed, beside what ours has found
"""
import sys

import numpy as np
import onnx
import onnxruntime

import detections


def open_model(path):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])


def of_its_size(session, folder):
    """The pictures that have the size the model was exported for."""
    size, stride = session.get_inputs()[0].shape[2:], int(session.get_modelmeta().custom_metadata_map['stride'])
    pictures = [p for p in detections.load_pictures(folder, stride) if list(p.input.shape[2:]) == size]
    assert len(pictures) >= 3, f'{len(pictures)} pictures of {size}'
    return pictures, np.concatenate([p.input for p in pictures])


def far(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def beside_torch(kind, path, weights, folder):
    import torch

    import network

    session, state = open_model(path), torch.load(weights, weights_only=True)
    images = of_its_size(session, folder)[1]
    with torch.no_grad():
        heads = network.forward(state, torch.from_numpy(images))
        want = heads if kind == 'raw' else [network.rows(state, heads)]
    got = session.run(None, {'images': images})
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.shape == tuple(b.shape), (a.shape, b.shape)
        print(f'{a.shape}: relative L2 {far(a, b.numpy()):.2g}, largest difference {np.abs(a - b.numpy()).max():.2g}')
        assert far(a, b.numpy()) < 1e-5


def beside_ours(path, folder, found):
    session = open_model(path)
    pictures, images = of_its_size(session, folder)
    rows = session.run(None, {'images': images})[0]
    alone = session.run(None, {'images': images[:1]})[0]  # the batch is free
    assert np.allclose(alone[0], rows[0], rtol=1e-4, atol=1e-4)
    detections.compare(pictures, rows, found)


if sys.argv[1] == 'found':
    beside_ours(*sys.argv[2:])
else:
    beside_torch(*sys.argv[1:])
