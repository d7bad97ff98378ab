def dequantize(x, scale, zero, axis):
    """What codes stand for."""
    codes = x.to(torch.int32)
    if zero is not None:
        codes = codes - along(zero, x, axis).to(torch.int32)
    return codes.to(scale.dtype) * along(scale, x, axis)
