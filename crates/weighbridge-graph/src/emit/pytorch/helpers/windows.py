def windows(x, kernel, stride, dilation, before, after, value, ceil_mode, same=None):
    """Sliding windows as one more dimension each, padded with a value.

    A window that is rounded up to must begin before the padding behind.
    """
    pads, spans = [], []
    for n, k, s, d, b, a in zip(x.shape[2:], kernel, stride, dilation, before, after):
        span = d * (k - 1) + 1
        if same is not None:
            total = max((-(-n // s) - 1) * s + span - n, 0)
            b = total // 2 if same == "upper" else total - total // 2
            a = total - b
        room = n + b + a - span
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + b:
            count -= 1
        pads = [b, (count - 1) * s + span - n - b, *pads]
        spans.append((span, s, d))
    x = F.pad(x, pads, value=value)
    for i, (span, s, d) in enumerate(spans):
        x = x.unfold(2 + i, span, s)[..., ::d]
    return x
