"""yolov5n as plain torch, from its state_dict alone: written from examples/models/yolov5n.yaml, sharing no code with anything.

forward(state, images) gives the raw heads, (batch, anchors, ny, nx, 5 + classes) each; rows(state, heads) decodes them.
"""
import torch
import torch.nn.functional as F

EPS = 1e-3
STRIDES = (8, 16, 32)


def conv2d(state, name, x, stride=1):
    weight = state[name + '.weight']
    return F.conv2d(x, weight, state.get(name + '.bias'), stride, weight.shape[-1] // 2)


def norm(state, name, x):
    return F.batch_norm(x, state[name + '.running_mean'], state[name + '.running_var'], state[name + '.weight'],
                        state[name + '.bias'], False, 0, EPS)


def conv(state, name, x, stride=1):
    return F.hardswish(norm(state, name + '.bn', conv2d(state, name + '.conv', x, stride)))


def csp(state, name, x, shortcut):
    y, count = conv(state, name + '.cv1', x), 0
    while f'{name}.m.{count}.cv1.conv.weight' in state:
        z = conv(state, f'{name}.m.{count}.cv2', conv(state, f'{name}.m.{count}.cv1', y))
        y, count = y + z if shortcut else z, count + 1
    joined = torch.cat((conv2d(state, name + '.cv3', y), conv2d(state, name + '.cv2', x)), 1)
    return conv(state, name + '.cv4', F.leaky_relu(norm(state, name + '.bn', joined), 0.1))


def spp(state, name, x):
    x = conv(state, name + '.cv1', x)
    return conv(state, name + '.cv2', torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13)], 1))


def focus(x):
    return torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1)


def double(x):
    return F.interpolate(x, scale_factor=2, mode='nearest')


def forward(state, images):
    x = conv(state, 'model.0.conv', focus(images))
    x = csp(state, 'model.2', conv(state, 'model.1', x, 2), True)
    x4 = csp(state, 'model.4', conv(state, 'model.3', x, 2), True)
    x6 = csp(state, 'model.6', conv(state, 'model.5', x4, 2), True)
    x = csp(state, 'model.9', spp(state, 'model.8', conv(state, 'model.7', x6, 2)), False)
    x10 = conv(state, 'model.10', x)
    x = csp(state, 'model.13', torch.cat((double(x10), x6), 1), False)
    x14 = conv(state, 'model.14', x)
    x17 = csp(state, 'model.17', torch.cat((double(x14), x4), 1), False)
    x20 = csp(state, 'model.20', torch.cat((conv(state, 'model.18', x17, 2), x14), 1), False)
    x23 = csp(state, 'model.23', torch.cat((conv(state, 'model.21', x20, 2), x10), 1), False)
    heads = []
    for level, x in enumerate((x17, x20, x23)):
        x = conv2d(state, f'model.24.m.{level}', x)
        anchors = state['model.24.anchors'].shape[1]
        heads.append(x.view(x.shape[0], anchors, -1, *x.shape[2:]).permute(0, 1, 3, 4, 2))
    return heads


def rows(state, heads):
    """Boxes x y w h in pixels of the input, objectness, classes: (batch, rows, 5 + classes)."""
    out = []
    for level, head in enumerate(heads):
        ny, nx = head.shape[2:4]
        y, x = torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing='ij')
        anchors = state['model.24.anchor_grid'][level].view(1, -1, 1, 1, 2)
        s = head.sigmoid()
        centre = (s[..., :2] * 2 - 0.5 + torch.stack((x, y), 2)) * STRIDES[level]
        size = (s[..., 2:4] * 2) ** 2 * anchors
        out.append(torch.cat((centre, size, s[..., 4:]), 4).flatten(1, 3))
    return torch.cat(out, 1)
