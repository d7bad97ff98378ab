"""Nets as people deploy them, as Caffe's text and weights: their layers are those of the published ones, their weights
random, with means and variances of what a batch of noise came to, so that no channel dies or explodes.
"""

import numpy as np


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def blob(array):
    sizes = field(1, b"".join(varint(n) for n in array.shape))
    return field(7, field(5, array.astype("<f4").tobytes()) + field(7, sizes))


class Net:
    """Text and weights, layer by layer; each method gives the name of its top."""

    def __init__(self, name, channels, size, seed):
        self.random = np.random.default_rng(seed)
        self.input = (1, channels, size, size)
        dims = " ".join(f"dim: {n}" for n in self.input)
        self.text = [f'name: "{name}"', f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}']
        self.weights = b""
        self.channels = {"data": channels}
        self.count = 0

    def layer(self, kind, bottoms, settings="", blobs=(), top=None, channels=None):
        self.count += 1
        name = f"{kind.lower()}/{self.count}"
        top = top or name
        read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.text.append(f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top}" {settings} }}')
        if blobs:
            self.weights += field(100, field(1, name.encode()) + field(2, kind.encode()) + b"".join(map(blob, blobs)))
        self.channels[top] = channels or self.channels[bottoms[0]]
        return top

    def conv(self, bottom, outputs, kernel, stride=1, pad=0, group=1, bias=True):
        inputs = self.channels[bottom] // group
        weight = self.random.standard_normal((outputs, inputs, kernel, kernel)) * (2 / (inputs * kernel**2)) ** 0.5
        blobs = [weight, self.random.standard_normal(outputs) * 0.1] if bias else [weight]
        told = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group}"
        told += "" if bias else " bias_term: false"
        return self.layer("Convolution", [bottom], f"convolution_param {{ {told} }}", blobs, channels=outputs)

    def norm(self, blob_name, large=1.0):
        """BatchNorm and Scale in place; `large` is what the variances are of."""
        n, factor = self.channels[blob_name], 999.9
        mean, variance = self.random.standard_normal(n) * 0.1, self.random.uniform(0.5, 1.5, n) * large
        blobs = [mean * factor * large**0.5, variance * factor, np.array([factor])]
        self.layer("BatchNorm", [blob_name], "batch_norm_param { use_global_stats: true }", blobs, top=blob_name)
        gamma, beta = self.random.uniform(0.5, 1.5, n), self.random.standard_normal(n) * 0.1
        return self.layer("Scale", [blob_name], "scale_param { bias_term: true }", [gamma, beta], top=blob_name)

    def relu(self, blob_name):
        return self.layer("ReLU", [blob_name], top=blob_name)

    def pool(self, bottom, way, kernel=0, stride=1, pad=0):
        told = f"kernel_size: {kernel} stride: {stride} pad: {pad}" if kernel else "global_pooling: true"
        return self.layer("Pooling", [bottom], f"pooling_param {{ pool: {way} {told} }}")

    def concat(self, *bottoms):
        return self.layer("Concat", bottoms, channels=sum(self.channels[bottom] for bottom in bottoms))

    def lrn(self, bottom):
        return self.layer("LRN", [bottom], "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def dense(self, bottom, outputs, inputs):
        blobs = [self.random.standard_normal((outputs, inputs)) / inputs**0.5, self.random.standard_normal(outputs)]
        return self.layer("InnerProduct", [bottom], f"inner_product_param {{ num_output: {outputs} }}", blobs)

    def softmax(self, bottom):
        """The end of the net; a softmax alone may hide what is wrong before it."""
        self.last = bottom
        return self.layer("Softmax", [bottom], top="prob")


def resnet50(size):
    """Blocks of three convolutions; variances of tens of millions after the first one, whose weights are as large."""
    net = Net("resnet50", 3, size, 1)
    x = net.conv("data", 64, 7, 2, 3, bias=False)
    x = net.layer("Power", [x], "power_param { scale: 7000 }", top=x)
    x = net.pool(net.relu(net.norm(x, 4.9e7)), "MAX", 3, 2)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for at in range(blocks):
            narrow, stride = 64 << stage, 2 if stage and not at else 1
            y = net.relu(net.norm(net.conv(x, narrow, 1, stride, bias=False)))
            y = net.relu(net.norm(net.conv(y, narrow, 3, 1, 1, bias=False)))
            y = net.norm(net.conv(y, 4 * narrow, 1, bias=False))
            x = x if at else net.norm(net.conv(x, 4 * narrow, 1, stride, bias=False))
            x = net.relu(net.layer("Eltwise", [x, y], "eltwise_param { operation: SUM coeff: 0.7 coeff: 0.7 }"))
    net.softmax(net.dense(net.pool(x, "AVE"), 1000, 2048))
    return net


def mobilenet(size):
    """The second one: widened, depthwise, narrowed, with the sum of what came in."""
    net = Net("mobilenet", 3, size, 2)
    x = net.relu(net.norm(net.conv("data", 32, 3, 2, 1, bias=False)))
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for wide, outputs, times, first in plan:
        for at in range(times):
            inputs, stride = net.channels[x], 1 if at else first
            y = net.relu(net.norm(net.conv(x, wide * inputs, 1, bias=False)))
            y = net.relu(net.norm(net.conv(y, wide * inputs, 3, stride, 1, wide * inputs, bias=False)))
            y = net.norm(net.conv(y, outputs, 1, bias=False))
            x = net.layer("Eltwise", [x, y]) if stride == 1 and inputs == outputs else y
    x = net.relu(net.norm(net.conv(x, 1280, 1, bias=False)))
    net.softmax(net.conv(net.pool(x, "AVE"), 1000, 1))
    return net


def googlenet(size):
    """Pooling that is rounded up, LRN, and four branches put together."""
    net = Net("googlenet", 3, size, 3)
    x = net.lrn(net.pool(net.relu(net.conv("data", 64, 7, 2, 3)), "MAX", 3, 2))
    x = net.lrn(net.relu(net.conv(net.relu(net.conv(x, 64, 1)), 192, 3, 1, 1)))
    x = net.pool(x, "MAX", 3, 2)
    for a, b1, b, c1, c, d in ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64)):
        one = net.relu(net.conv(x, a, 1))
        two = net.relu(net.conv(net.relu(net.conv(x, b1, 1)), b, 3, 1, 1))
        three = net.relu(net.conv(net.relu(net.conv(x, c1, 1)), c, 5, 1, 2))
        four = net.relu(net.conv(net.pool(x, "MAX", 3, 1, 1), d, 1))
        x = net.concat(one, two, three, four)
    net.softmax(net.dense(net.pool(x, "AVE"), 1000, net.channels[x]))
    return net


def squeezenet(size):
    net = Net("squeezenet", 3, size, 4)
    x = net.pool(net.relu(net.conv("data", 64, 3, 2)), "MAX", 3, 2)
    for at, (narrow, wide) in enumerate(((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (64, 256))):
        y = net.relu(net.conv(x, narrow, 1))
        x = net.concat(net.relu(net.conv(y, wide, 1)), net.relu(net.conv(y, wide, 3, 1, 1)))
        x = net.pool(x, "MAX", 3, 2) if at in (1, 3) else x
    net.softmax(net.pool(net.relu(net.conv(x, 1000, 1)), "AVE"))
    return net


def age(size):
    """Three convolutions with LRN and three dense layers."""
    net = Net("age", 3, size, 5)
    x = net.lrn(net.pool(net.relu(net.conv("data", 96, 7, 4)), "MAX", 3, 2))
    x = net.lrn(net.pool(net.relu(net.conv(x, 256, 5, 1, 2)), "MAX", 3, 2))
    x = net.pool(net.relu(net.conv(x, 384, 3, 1, 1)), "MAX", 3, 2)
    side = (size - 7) // 4 + 1
    for _ in range(3):
        side = -(-(side - 3) // 2) + 1
    x = net.relu(net.dense(x, 512, 384 * side * side))
    x = net.layer("Dropout", [net.relu(net.dense(x, 512, 512))])
    net.softmax(net.dense(x, 8, 512))
    return net


NETS = (resnet50, mobilenet, googlenet, squeezenet, age)
