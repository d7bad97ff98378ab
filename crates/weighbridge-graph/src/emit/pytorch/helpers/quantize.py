def quantize(x, scale, zero, axis, dtype):
    """Codes: the nearest, ties to even, within the type's range."""
    codes = torch.round(x / along(scale, x, axis))
    if zero is not None:
        codes = codes + along(zero, x, axis).to(codes.dtype)
    limits = torch.iinfo(dtype)
    return codes.clamp(limits.min, limits.max).to(dtype)
