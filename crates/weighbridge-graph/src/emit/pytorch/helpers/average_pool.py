def average_pool(
    x,
    kernel,
    stride,
    dilation,
    before,
    after,
    ceil_mode,
    same=None,
    count_include_pad=False,
):
    """The mean of each window; padding counts only where that is asked for."""
    ones = torch.ones_like(x)
    how = (kernel, stride, dilation, before, after)
    if count_include_pad:
        outer = [n for pair in zip(reversed(before), reversed(after)) for n in pair]
        ones = F.pad(ones, outer, value=1.0)
        none = [0] * len(kernel)
        counts = windows(ones, *how[:3], none, none, 0.0, ceil_mode, same)
        if same is not None:
            counts = windows(torch.ones_like(x), *how, 1.0, ceil_mode, same)
    else:
        counts = windows(ones, *how, 0.0, ceil_mode, same)
    seen = windows(x, *how, 0.0, ceil_mode, same)
    dims = tuple(range(x.dim(), seen.dim()))
    return seen.sum(dim=dims) / counts.sum(dim=dims)
