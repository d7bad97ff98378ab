def pad_same(x, kernel, stride, dilation, lower=False, value=0.0):
    """Padding that leaves ceil(size / stride); the odd one goes behind, or before."""
    pads = []
    for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        small, large = total // 2, total - total // 2
        pads = [large, small, *pads] if lower else [small, large, *pads]
    return F.pad(x, pads, value=value)
