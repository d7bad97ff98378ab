def max_pool(x, kernel, stride, dilation, before, after, ceil_mode, same=None):
    """The largest value of each window; padding never is."""
    lowest = -float("inf") if x.is_floating_point() else torch.iinfo(x.dtype).min
    seen = windows(x, kernel, stride, dilation, before, after, lowest, ceil_mode, same)
    return seen.amax(dim=tuple(range(x.dim(), seen.dim())))
