"""Random values of every element type."""

import numpy as np
import torch

import truth

FLOATS = [d for d in truth.TORCH_DTYPES if d.is_floating_point]
INTEGERS = [
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8
]  # fmt: skip
COMPLEX = [torch.complex32, torch.complex64, torch.complex128]


def shape(rng, low=1, high=4):
    """A shape of one to three dimensions."""
    return tuple(int(n) for n in rng.integers(low, 9, rng.integers(1, high)))


def weights(rng, *size):
    """F32 values of some scale, now and then with zeros among them."""
    values = rng.normal(0, 10.0 ** rng.uniform(-6, 3), size).astype(np.float32)
    if rng.random() < 0.3:
        values[rng.random(size) < 0.2] = 0
    return torch.from_numpy(values)


def of_dtype(rng, dtype, *size):
    """Values that fit a dtype, finite."""
    if dtype == torch.bool:
        return torch.from_numpy(rng.random(size) < 0.5)
    if dtype in INTEGERS:
        info = torch.iinfo(dtype)
        name = str(dtype).removeprefix("torch.")
        values = rng.integers(info.min, info.max, size, dtype=name, endpoint=True)
        return torch.from_numpy(values)
    if dtype in COMPLEX:
        return torch.complex(weights(rng, *size), weights(rng, *size)).to(dtype)
    if dtype == torch.float64:
        return torch.from_numpy(rng.normal(0, 10.0 ** rng.uniform(-100, 100), size))
    if dtype in (torch.float8_e8m0fnu, torch.float4_e2m1fn_x2):
        codes = rng.integers(0, 255, size, dtype=np.uint8)
        return torch.from_numpy(codes).view(dtype)
    return (torch.from_numpy(rng.normal(0, 2, size).astype(np.float32)) * 2.0 ** rng.integers(-3, 4)).to(dtype)


def any_bits(rng, dtype, count):
    """Random bit patterns: NaN, infinities, subnormals, both zeros, the largest."""
    codes = torch.from_numpy(rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8))
    return codes.view(dtype)


def all_bits(dtype):
    """Every bit pattern of a type of one or two bytes."""
    if dtype.itemsize == 1:
        return torch.arange(256, dtype=torch.int16).to(torch.uint8).view(dtype)
    return torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(dtype)


def special(dtype):
    """What kernels get wrong: signed zeros, the edges of the range, subnormals, NaN and infinities."""
    info = torch.finfo(dtype)
    tiny = info.tiny * info.eps
    return torch.tensor(
        [0.0, -0.0, info.tiny, -info.tiny, tiny, 1.0, -1.0, 65504.0, 65520.0, 2.0**-24, 2.0**-25, float("nan")]
        + [float("inf"), float("-inf")],
        dtype=torch.float64,
    ).to(dtype)
