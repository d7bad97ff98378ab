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
        # Whether OpenCV has all of the layers.
        self.known = True

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

    def widened(self, bottom, outputs, kernel, stride=1, pad=0, group=1):
        """Deconvolution without a bias."""
        shape = (self.channels[bottom], outputs // group, kernel, kernel)
        weight = self.random.standard_normal(shape) * (2 / (shape[0] // group * kernel**2)) ** 0.5
        told = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group} bias_term: false"
        return self.layer("Deconvolution", [bottom], f"convolution_param {{ {told} }}", [weight], channels=outputs)

    def depthwise(self, x, outputs, stride):
        """Three by three for each channel, then one by one across them."""
        inputs = self.channels[x]
        x = self.relu(self.norm(self.conv(x, inputs, 3, stride, 1, inputs, bias=False)))
        return self.relu(self.norm(self.conv(x, outputs, 1, bias=False)))

    def prelu(self, blob_name):
        slopes = self.random.uniform(0.05, 0.5, self.channels[blob_name])
        return self.layer("PReLU", [blob_name], "", [slopes], top=blob_name)

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


class OldNet(Net):
    """The form of 2014: types by number, rates of learning beside them, four sizes a blob."""

    NUMBERS = {"Convolution": 4, "Dropout": 6, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18, "Softmax": 20}
    WORDS = {"InnerProduct": "INNER_PRODUCT"}

    def __init__(self, name, channels, size, seed):
        super().__init__(name, channels, size, seed)
        dims = " ".join(f"input_dim: {n}" for n in self.input)
        self.text = [f'name: "{name}"', f'input: "data" {dims}']

    def layer(self, kind, bottoms, settings="", blobs=(), top=None, channels=None):
        self.count += 1
        name = f"{kind.lower()}/{self.count}"
        top = top or name
        read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        rates = "blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0" if blobs else ""
        word = self.WORDS.get(kind, kind.upper())
        self.text.append(f'layers {{ name: "{name}" type: {word} {read} top: "{top}" {rates} {settings} }}')
        if blobs:
            message = field(4, name.encode()) + varint(5 << 3) + varint(self.NUMBERS[kind])
            self.weights += field(2, message + b"".join(map(self.old_blob, blobs)))
        self.channels[top] = channels or self.channels[bottoms[0]]
        return top

    @staticmethod
    def old_blob(array):
        sizes = (1,) * (4 - array.ndim) + array.shape
        numbers = b"".join(varint(at << 3) + varint(n) for at, n in enumerate(sizes, 1))
        return field(6, numbers + field(5, array.astype("<f4").tobytes()))


def pooled(side, kernel, stride):
    """How many windows there are along a side, counted up."""
    return -(-(side - kernel) // stride) + 1


def alexnet(size):
    """Groups, and LRN before pooling."""
    net = Net("alexnet", 3, size, 6)
    x = net.pool(net.lrn(net.relu(net.conv("data", 96, 11, 4))), "MAX", 3, 2)
    x = net.pool(net.lrn(net.relu(net.conv(x, 256, 5, 1, 2, 2))), "MAX", 3, 2)
    x = net.relu(net.conv(x, 384, 3, 1, 1))
    x = net.relu(net.conv(x, 384, 3, 1, 1, 2))
    x = net.pool(net.relu(net.conv(x, 256, 3, 1, 1, 2)), "MAX", 3, 2)
    side = (size - 11) // 4 + 1
    for _ in range(3):
        side = pooled(side, 3, 2)
    x = net.layer("Dropout", [net.relu(net.dense(x, 256, 256 * side * side))])
    net.softmax(net.dense(x, 100, 256))
    return net


def mobilenet1(size):
    """The first one, of which every convolution but the first is depthwise or one by one."""
    net = Net("mobilenet1", 3, size, 7)
    x = net.relu(net.norm(net.conv("data", 32, 3, 2, 1, bias=False)))
    for outputs, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (1024, 2)):
        x = net.depthwise(x, outputs, stride)
    net.softmax(net.conv(net.pool(x, "AVE"), 100, 1))
    return net


def detector(size):
    """SSD: boxes from maps of two sizes, the first of them normalized."""
    classes, net = 4, Net("detector", 3, size, 8)
    x = net.relu(net.norm(net.conv("data", 16, 3, 2, 1, bias=False)))
    x = net.depthwise(x, 32, 2)
    scale = np.full(32, 2.0)
    settings = 'norm_param { across_spatial: false channel_shared: false scale_filler { type: "constant" value: 2 } }'
    maps = [net.layer("Normalize", [x], settings, [scale]), net.depthwise(x, 64, 2)]
    places, scores, priors = [], [], []
    for x, least, most in zip(maps, (0.2, 0.45), (0.45, 0.8), strict=True):
        for kind, each in ((places, 4), (scores, classes)):
            y = net.conv(x, 6 * each, 3, 1, 1)
            y = net.layer("Permute", [y], "permute_param { order: 0 order: 2 order: 3 order: 1 }")
            kind.append(net.layer("Flatten", [y], "flatten_param { axis: 1 }"))
        told = f"min_size: {int(least * size)} max_size: {int(most * size)} aspect_ratio: 2 aspect_ratio: 3 flip: true clip: false"
        told += " variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 offset: 0.5"
        priors.append(net.layer("PriorBox", [x, "data"], f"prior_box_param {{ {told} }}"))
    place, score = (net.layer("Concat", kind, "concat_param { axis: 1 }") for kind in (places, scores))
    prior = net.layer("Concat", priors, "concat_param { axis: 2 }")
    score = net.layer("Reshape", [score], f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {classes} }} }}")
    score = net.layer("Softmax", [score], "softmax_param { axis: 2 }")
    score = net.layer("Flatten", [score], "flatten_param { axis: 1 }")
    told = f"num_classes: {classes} share_location: true background_label_id: 0 code_type: CENTER_SIZE"
    told += " keep_top_k: 20 confidence_threshold: 0.3 nms_param { nms_threshold: 0.45 top_k: 40 }"
    net.last = net.layer("DetectionOutput", [place, score, prior], f"detection_output_param {{ {told} }}")
    return net


def faces(size):
    """The first net of MTCNN: slopes by channel, and two outputs."""
    net = Net("faces", 3, size, 9)
    x = net.pool(net.prelu(net.conv("data", 10, 3)), "MAX", 2, 2)
    x = net.prelu(net.conv(net.prelu(net.conv(x, 16, 3)), 32, 3))
    net.conv(x, 4, 1)
    net.softmax(net.conv(x, 2, 1))
    return net


def embedding(size):
    """A vector of length one for a face."""
    net = Net("embedding", 3, size, 10)
    x = net.prelu(net.conv("data", 32, 3, 2, 1))
    for outputs in (32, 64):
        x = net.prelu(net.conv(x, outputs, 3, 2, 1))
        y = net.prelu(net.conv(net.prelu(net.conv(x, outputs, 3, 1, 1)), outputs, 3, 1, 1))
        x = net.layer("Eltwise", [x, y], "eltwise_param { operation: SUM }")
    side = -(-size // 8)
    x = net.dense(x, 128, 64 * side * side)
    x = net.layer("Reshape", [x], "reshape_param { shape { dim: 0 dim: 0 dim: 1 dim: 1 } }")
    net.last = net.layer("Normalize", [x], "norm_param { across_spatial: true channel_shared: true }", [np.array([1.0])])
    return net


def enlarged(size):
    """A picture of twice the size: what is learned, added to what interpolation gives."""
    net = Net("enlarged", 1, size, 11)
    x = net.relu(net.conv("data", 16, 3, 1, 1))
    x = net.concat(x, net.relu(net.norm(net.conv(x, 16, 3, 1, 1))))
    x = net.conv(net.relu(net.widened(x, 8, 4, 2, 1)), 1, 3, 1, 1)
    y = net.layer("Interp", ["data"], f"interp_param {{ height: {2 * size} width: {2 * size} }}")
    net.last = net.layer("Eltwise", [x, y], "eltwise_param { operation: SUM }")
    return net


def segments(size):
    """FCN: wide padding, classes by place enlarged twice, cropped to what they are added to."""
    net = Net("segments", 3, size, 12)
    x = net.pool(net.relu(net.conv("data", 16, 3, 1, 20)), "MAX", 2, 2)
    near = x = net.pool(net.relu(net.conv(x, 32, 3, 1, 1)), "MAX", 2, 2)
    x = net.pool(net.relu(net.conv(x, 64, 3, 1, 1)), "MAX", 2, 2)
    x = net.widened(net.conv(x, 5, 1), 5, 4, 2, group=5)
    y = net.conv(near, 5, 1)
    x = net.layer("Crop", [x, y], "crop_param { axis: 2 offset: 1 }", channels=5)
    x = net.widened(net.layer("Eltwise", [x, y]), 5, 8, 4, group=5)
    net.last = net.layer("Crop", [x, "data"], "crop_param { axis: 2 offset: 14 }", channels=5)
    return net


def roads(size):
    """ENet: maxima go back to where they stood."""
    net = Net("roads", 3, size, 13)
    net.known = False
    x = net.prelu(net.norm(net.conv("data", 16, 3, 2, 1, bias=False)))
    x = net.prelu(net.norm(net.conv(x, 16, 3, 1, 1)))
    net.text.append(f'layer {{ name: "down" type: "Pooling" bottom: "{x}" top: "down" top: "mask" pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}')
    net.channels |= {"down": 16, "mask": 16}
    wide = "num_output: 16 kernel_size: 3 pad: 2 dilation: 2 bias_term: false"
    weight = net.random.standard_normal((16, 16, 3, 3)) / 12
    y = net.layer("Convolution", ["down"], f"convolution_param {{ {wide} }}", [weight], channels=16)
    y = net.layer("Eltwise", [net.norm(y), "down"])
    y = net.layer("Upsample", [net.prelu(y), "mask"], "upsample_param { scale: 2 }")
    y = net.layer("Eltwise", [y, x], "eltwise_param { operation: MAX }")
    y = net.widened(y, 5, 2, 2)
    net.last = net.layer("ArgMax", [y], "argmax_param { axis: 1 }", channels=1)
    return net


def age(size):
    """Three convolutions with LRN and three dense layers, in the form of 2014."""
    net = OldNet("age", 3, size, 5)
    x = net.lrn(net.pool(net.relu(net.conv("data", 96, 7, 4)), "MAX", 3, 2))
    x = net.lrn(net.pool(net.relu(net.conv(x, 256, 5, 1, 2)), "MAX", 3, 2))
    x = net.pool(net.relu(net.conv(x, 384, 3, 1, 1)), "MAX", 3, 2)
    side = (size - 7) // 4 + 1
    for _ in range(3):
        side = pooled(side, 3, 2)
    x = net.relu(net.dense(x, 512, 384 * side * side))
    x = net.layer("Dropout", [net.relu(net.dense(x, 512, 512))])
    net.softmax(net.dense(x, 8, 512))
    return net


NETS = (
    resnet50,
    mobilenet,
    googlenet,
    squeezenet,
    age,
    alexnet,
    mobilenet1,
    detector,
    faces,
    embedding,
    enlarged,
    segments,
    roads,
)
