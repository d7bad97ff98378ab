"""Modules whose classes are absent when the files made from them are read."""

import torch
from torch import nn


class Block(nn.Module):
    """Convolutions that differ in what they keep as plain attributes."""

    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width, eps=1e-3, momentum=0.03),
                nn.SiLU(inplace=True),
            ),
            nn.Sequential(
                nn.Conv2d(width, width, (1, 5), padding=(0, 2), dilation=1, groups=width),
                nn.GroupNorm(2, width),
                nn.ReLU(),
            ),
        )
        self.up = nn.ConvTranspose2d(width, 4, 2, stride=2)
        self.still = nn.BatchNorm2d(4, affine=False, track_running_stats=False)


class Mixer(nn.Module):
    """Attention, an embedding tied to the head, buffers of both kinds, and tensors in plain attributes."""

    def __init__(self, width, words):
        super().__init__()
        self.embed = nn.Embedding(words, width, padding_idx=0)
        self.attention = nn.MultiheadAttention(width, 2, kdim=width + 1, vdim=width + 1)
        self.attention_packed = nn.MultiheadAttention(width, 2)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("position_ids", torch.arange(7).reshape(1, 7))
        self.register_buffer("rotary", torch.randn(3, 4), persistent=False)
        self.register_parameter("absent", None)
        self.anchors = torch.randn(2, 3)
        self.cache = {"keys": [torch.randn(2), torch.randn(3)], "size": 2}
        self.note = "a plain attribute"


class Net(nn.Module):
    def __init__(self, width=8, words=11):
        super().__init__()
        self.stem = Block(width)
        self.layers = nn.ModuleList([Mixer(width, words), Mixer(width, words)])
        self.named = nn.ModuleDict({"a": nn.Linear(width, 2), "b": nn.PReLU(3)})
        self.scale = nn.Parameter(torch.randn(width))
        self.frozen = nn.ParameterList([nn.Parameter(torch.randn(2), requires_grad=False)])
        self.rnn = nn.LSTM(width, 3, num_layers=2, bidirectional=True)


class Conv(nn.Module):
    """Convolution, BatchNorm, activation: the unit of YOLO's networks."""

    def __init__(self, c1, c2, k=1, s=1):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(c2, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU(inplace=True)


class Detect(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.nc, self.nl, self.reg_max = 3, 2, 4
        self.stride = torch.tensor([8.0, 16.0])
        self.anchors = torch.empty(0)
        self.cv2 = nn.ModuleList(nn.Sequential(Conv(channels, 8, 3), nn.Conv2d(8, 16, 1)) for _ in range(2))
        self.cv3 = nn.ModuleList(nn.Sequential(Conv(channels, 8, 3), nn.Conv2d(8, 3, 1)) for _ in range(2))


class DetectionModel(nn.Module):
    """Layers know their index and where they come from, as plain attributes; the whole carries settings."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(Conv(3, 8, 3, 2), Conv(8, 16, 3, 2), Detect(16))
        for i, layer in enumerate(self.model):
            layer.i, layer.f, layer.type = i, -1, type(layer).__name__
        self.save = [1, 2]
        self.yaml = {"nc": 3, "scales": {"n": [0.33, 0.25, 1024]}}
        self.names = {0: "person", 1: "bicycle", 2: "car"}
        self.stride = self.model[-1].stride


def llama(width=16, heads=4, kv_heads=2, hidden=40, words=64, blocks=4):
    """Names and shapes of a small decoder with grouped-query attention: (name, shape) pairs."""
    kv = width // heads * kv_heads
    yield "model.embed_tokens.weight", (words, width)
    for i in range(blocks):
        prefix = f"model.layers.{i}"
        yield f"{prefix}.self_attn.q_proj.weight", (width, width)
        yield f"{prefix}.self_attn.k_proj.weight", (kv, width)
        yield f"{prefix}.self_attn.v_proj.weight", (kv, width)
        yield f"{prefix}.self_attn.o_proj.weight", (width, width)
        yield f"{prefix}.mlp.gate_proj.weight", (hidden, width)
        yield f"{prefix}.mlp.up_proj.weight", (hidden, width)
        yield f"{prefix}.mlp.down_proj.weight", (width, hidden)
        yield f"{prefix}.input_layernorm.weight", (width,)
        yield f"{prefix}.post_attention_layernorm.weight", (width,)
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (words, width)
