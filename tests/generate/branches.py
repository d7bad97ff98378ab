"""Networks of parallel linear branches: RepVGG-A0, ACNet, DBB, MobileOne, RepLK. Own definitions, after the papers.

Each `Net` knows how many convolutions its deployed form has. Statistics are those of noise, `exports.settle` draws the
rest, so that every weight tells.
"""

import torch
from torch import nn


def conv_bn(inputs, outputs, kernel, stride=1, padding=0, groups=1, dilation=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class RepVgg(nn.Module):
    """3x3, 1x1 and, where sizes allow, what comes in as it is: each normalized, added up, one activation."""

    deployed = 1

    def __init__(self, inputs, outputs, stride=1, groups=1):
        super().__init__()
        self.dense = conv_bn(inputs, outputs, 3, stride, 1, groups)
        self.point = conv_bn(inputs, outputs, 1, stride, 0, groups)
        self.same = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None
        self.act = nn.ReLU()

    def forward(self, x):
        y = self.dense(x) + self.point(x)
        return self.act(y if self.same is None else y + self.same(x))


class AcNet(nn.Module):
    """A square kernel with its two middle strips."""

    deployed = 1

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.square = conv_bn(inputs, outputs, 3, stride, 1)
        self.rows = conv_bn(inputs, outputs, (1, 3), stride, (0, 1))
        self.columns = conv_bn(inputs, outputs, (3, 1), stride, (1, 0))
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.square(x) + self.rows(x) + self.columns(x))


class Dbb(nn.Module):
    """A kernel, a point before a kernel, and a point before a mean: without padding, where all is exact."""

    deployed = 1

    def __init__(self, inputs, outputs, kernel=3, groups=1):
        super().__init__()
        self.dense = conv_bn(inputs, outputs, kernel, groups=groups)
        self.first = conv_bn(inputs, inputs, 1, groups=groups)
        self.then = conv_bn(inputs, outputs, kernel, groups=groups)
        self.before = conv_bn(inputs, outputs, 1, groups=groups)
        self.mean = nn.Sequential(nn.AvgPool2d(kernel, 1), nn.BatchNorm2d(outputs))
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.dense(x) + self.then(self.first(x)) + self.mean(self.before(x)))


class DbbPadded(nn.Module):
    """The same with zeros put around what comes in, before anything has a bias."""

    deployed = 1

    def __init__(self, inputs, outputs):
        super().__init__()
        self.dense = conv_bn(inputs, outputs, 3, padding=1)
        self.point = conv_bn(inputs, outputs, 1)
        self.pad = nn.ZeroPad2d(1)
        self.first = conv_bn(inputs, inputs, 1)
        self.then = conv_bn(inputs, outputs, 3)
        self.before = conv_bn(inputs, outputs, 1)
        self.mean = nn.Sequential(nn.AvgPool2d(3, 1), nn.BatchNorm2d(outputs))
        self.act = nn.ReLU()

    def forward(self, x):
        around = self.pad(x)
        return self.act(
            self.dense(x) + self.point(x) + self.then(self.first(around)) + self.mean(self.before(around))
        )


class MobileOne(nn.Module):
    """Several 3x3 of each channel by itself, a scale, what comes in; then several points and what comes in."""

    deployed = 2

    def __init__(self, inputs, outputs, stride=1, branches=4):
        super().__init__()
        self.depth = nn.ModuleList(conv_bn(inputs, inputs, 3, stride, 1, inputs) for _ in range(branches))
        self.scale = conv_bn(inputs, inputs, 1, stride, 0, inputs)
        self.same = nn.BatchNorm2d(inputs) if stride == 1 else None
        self.points = nn.ModuleList(conv_bn(inputs, outputs, 1) for _ in range(branches))
        self.kept = nn.BatchNorm2d(inputs) if inputs == outputs else None
        self.act = nn.ReLU()

    def forward(self, x):
        y = self.scale(x)
        if self.same is not None:
            y = y + self.same(x)
        for branch in self.depth:
            y = y + branch(x)
        x = self.act(y)
        y = self.kept(x) if self.kept is not None else 0
        for branch in self.points:
            y = y + branch(x)
        return self.act(y)


class RepLk(nn.Module):
    """A large kernel of each channel by itself and a small one, then points."""

    deployed = 2

    def __init__(self, inputs, outputs, kernel=13):
        super().__init__()
        self.large = conv_bn(inputs, inputs, kernel, 1, kernel // 2, inputs)
        self.small = conv_bn(inputs, inputs, 5, 1, 2, inputs)
        self.apart = conv_bn(inputs, inputs, 3, 1, 3, inputs, 3)
        self.point = conv_bn(inputs, outputs, 1)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.point(self.act(self.large(x) + self.small(x) + self.apart(x))))


class Net(nn.Module):
    """Blocks, one after another, and a head."""

    def __init__(self, blocks, width, classes=10):
        super().__init__()
        self.stages = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, classes)
        self.deployed = sum(block.deployed for block in blocks)

    def forward(self, x):
        return self.head(self.pool(self.stages(x)).flatten(1))


def repvgg_a0(classes=1000):
    """RepVGG-A0: stages of 1, 2, 4, 14 and 1 blocks, of 48, 48, 96, 192 and 1280 channels."""
    blocks, width = [RepVgg(3, 48, 2)], 48
    for depth, outputs in [(2, 48), (4, 96), (14, 192), (1, 1280)]:
        for i in range(depth):
            blocks.append(RepVgg(width, outputs, 2 if i == 0 else 1))
            width = outputs
    return Net(blocks, width, classes)


NETS = {
    "repvgg_a0": repvgg_a0,
    "repvgg_grouped": lambda: Net([RepVgg(3, 16, 2), RepVgg(16, 16, 1, 4), RepVgg(16, 32, 2, 2)], 32),
    "acnet": lambda: Net([AcNet(3, 16, 2), AcNet(16, 24)], 24),
    "dbb": lambda: Net([Dbb(3, 12), Dbb(12, 16, 5, 4)], 16),
    "dbb_padded": lambda: Net([DbbPadded(3, 12), DbbPadded(12, 12)], 12),
    "mobileone": lambda: Net([MobileOne(3, 16, 2), MobileOne(16, 16), MobileOne(16, 24, 2)], 24),
    "replk": lambda: Net([RepVgg(3, 16, 2), RepLk(16, 24)], 24),
}


def noise(count):
    return torch.randn(count, 3, 32, 32)
