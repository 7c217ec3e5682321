"""One training step in PyTorch: a network written from a model yaml of examples/models, batch-norm on batches, a loss over all of
the heads, SGD with Nesterov's momentum in three groups and the moving average, as the reference has them.

    step.py MODEL.yaml SIZE BATCH CLASSES RUNS
"""
import math
import sys
import time
from copy import deepcopy

import torch
import torch.nn.functional as F
import yaml
from torch import nn


class Conv(nn.Module):
    def __init__(self, c1, c2, k=1, s=1):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(c2, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return F.hardswish(self.bn(self.conv(x)))


class Focus(Conv):
    def __init__(self, c1, c2, k=1):
        super().__init__(4 * c1, c2, k)

    def forward(self, x):
        return super().forward(torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1))


class Bottleneck(nn.Module):
    def __init__(self, c, add):
        super().__init__()
        self.cv1, self.cv2, self.add = Conv(c, c), Conv(c, c, 3), add

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


class BottleneckCSP(nn.Module):
    def __init__(self, c1, c2, n=1, add=True):
        super().__init__()
        c = c2 // 2
        self.cv1, self.cv4 = Conv(c1, c), Conv(2 * c, c2)
        self.cv2, self.cv3 = nn.Conv2d(c1, c, 1, bias=False), nn.Conv2d(c, c, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * c, eps=1e-3, momentum=0.03)
        self.m = nn.Sequential(*[Bottleneck(c, add) for _ in range(n)])

    def forward(self, x):
        joined = torch.cat((self.cv3(self.m(self.cv1(x))), self.cv2(x)), 1)
        return self.cv4(F.leaky_relu(self.bn(joined), 0.1))


class SPP(nn.Module):
    def __init__(self, c1, c2, sizes):
        super().__init__()
        c = c1 // 2
        self.cv1, self.cv2 = Conv(c1, c), Conv(c * (len(sizes) + 1), c2)
        self.sizes = sizes

    def forward(self, x):
        x = self.cv1(x)
        return self.cv2(torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in self.sizes], 1))


class Detector(nn.Module):
    """The layers of a model yaml; the heads come out as (batch, anchors, ny, nx, 5 + classes)."""

    def __init__(self, path, classes):
        super().__init__()
        with open(path) as f:
            model = yaml.safe_load(f)
        depth, width, self.outputs = model['depth_multiple'], model['width_multiple'], 5 + classes
        channels, self.froms, self.layers = [3], [], nn.ModuleList()
        for where, count, kind, arguments in model['backbone'] + model['head']:
            where = where if isinstance(where, list) else [where]
            inputs = [channels[-1] if i == -1 else channels[i + 1] if i >= 0 else channels[i] for i in where]
            count = max(round(count * depth), 1) if count > 1 else count
            out = math.ceil(arguments[0] * width / 8) * 8 if kind in ('Conv', 'Focus', 'BottleneckCSP', 'SPP') else None
            if kind == 'BottleneckCSP':
                layer = BottleneckCSP(inputs[0], out, count, *arguments[1:])
            elif kind in ('Conv', 'Focus', 'SPP'):
                layer = {'Conv': Conv, 'Focus': Focus, 'SPP': SPP}[kind](inputs[0], out, *arguments[1:])
            elif kind == 'nn.Upsample':
                layer, out = nn.Upsample(scale_factor=2), inputs[0]
            elif kind == 'Concat':
                layer, out = nn.Identity(), sum(inputs)
            elif kind == 'Detect':
                anchors = len(model['anchors'][0]) // 2
                layer, out = nn.ModuleList(nn.Conv2d(c, anchors * self.outputs, 1) for c in inputs), 0
            else:
                sys.exit(f'{path}: the module {kind} is not known here')
            channels.append(out)
            self.froms.append(where)
            self.layers.append(layer)

    def forward(self, x):
        maps = []
        for where, layer in zip(self.froms, self.layers):
            inputs = [x if i == -1 and not maps else maps[i] for i in where]
            if isinstance(layer, nn.ModuleList):
                heads = [head(m) for head, m in zip(layer, inputs)]
                return [h.view(h.shape[0], -1, self.outputs, *h.shape[2:]).permute(0, 1, 3, 4, 2) for h in heads]
            maps.append(layer(torch.cat(inputs, 1) if len(inputs) > 1 else inputs[0]))


def loss_of(heads):
    """As many sums as the detection loss has, over every cell."""
    total = 0
    for head in heads:
        head = head.float()
        total = total + F.binary_cross_entropy_with_logits(head[..., 4], torch.zeros_like(head[..., 4]))
        total = total + 1e-3 * F.binary_cross_entropy_with_logits(head[..., 5:], torch.zeros_like(head[..., 5:]))
        total = total + 1e-3 * head[..., :4].sigmoid().square().mean()
    return total


def make_optimizer(model):
    groups = [[], [], []]
    for name, p in model.named_parameters():
        groups[2 if name.endswith('.bias') else 0 if '.bn' in name else 1].append(p)
    optimizer = torch.optim.SGD(groups[0], lr=1e-3, momentum=0.937, nesterov=True)
    optimizer.add_param_group({'params': groups[1], 'weight_decay': 5e-4})
    optimizer.add_param_group({'params': groups[2]})
    return optimizer


def best_step(path, size, batch, classes, runs, channels_last, bf16):
    torch.manual_seed(1)
    model = Detector(path, classes).train()
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    optimizer, average, best = make_optimizer(model), deepcopy(model).eval(), math.inf
    for run in range(runs + 2):
        started = time.perf_counter()
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
            heads = model(pixels.float() / 255)
        (loss_of(heads) * batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            now = model.state_dict()
            for name, value in average.state_dict().items():
                if value.dtype.is_floating_point:
                    value.mul_(0.5).add_(now[name], alpha=0.5)
        if run >= 2:
            best = min(best, time.perf_counter() - started)
    return batch / best


def main():
    path, (size, batch, classes, runs) = sys.argv[1], map(int, sys.argv[2:])
    for name, channels_last, bf16 in (('fp32', False, False), ('fp32.channels_last', True, False),
                                      ('bf16.channels_last', True, True)):
        print(name, f'{best_step(path, size, batch, classes, runs, channels_last, bf16):.4g}', flush=True)


main()
