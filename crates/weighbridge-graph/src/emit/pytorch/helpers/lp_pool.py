def lp_pool(x, kernel, stride, dilation, before, after, ceil_mode, same=None, p=2):
    """The p-norm of each window."""
    seen = windows(x, kernel, stride, dilation, before, after, 0.0, ceil_mode, same)
    dims = tuple(range(x.dim(), seen.dim()))
    return seen.abs().pow(p).sum(dim=dims).pow(1 / p)
