def fit_transposed(x, bias, before=None, after=None, sizes=None, extra=(), lower=True):
    """Cuts the padding off a transposed convolution without any, and adds the bias.

    Where sizes are given, the padding follows from them; the odd one goes before, or
    behind.
    """
    if sizes is not None:
        totals = [n + e - size for n, e, size in zip(x.shape[2:], extra, sizes)]
        small = [total // 2 for total in totals]
        large = [total - total // 2 for total in totals]
        before, after = (large, small) if lower else (small, large)
    pads = []
    for b, a, e in zip(before, after, extra):
        pads = [-b, e - a, *pads]
    x = F.pad(x, pads)
    if bias is not None:
        x = x + bias.reshape(-1, *[1] * (x.dim() - 2))
    return x
