def max_unpool(x, indices, kernel, stride, before, after, shape):
    """Puts each value where its index counts to, through the whole output."""
    if shape is None:
        sizes = [
            (n - 1) * s - b - a + k
            for n, k, s, b, a in zip(x.shape[2:], kernel, stride, before, after)
        ]
        own = [*x.shape[:2], *sizes]
        out = x.new_zeros(math.prod(own)).scatter(0, indices.flatten(), x.flatten())
        return out.reshape(own)
    sizes = [
        (n - 1) * s - b - a + k
        for n, k, s, b, a in zip(x.shape[2:], kernel, stride, before, after)
    ]
    inner = [*x.shape[:2], *sizes]
    out = x.new_zeros(math.prod(inner)).scatter(0, indices.flatten(), x.flatten())
    pads = []
    for have, want in zip(inner, shape):
        pads = [0, want - have, *pads]
    return F.pad(out.reshape(inner), pads)
