def cumulative(function, x, axis, exclusive, reverse):
    """Running sums or products, from either side, with or without the element."""
    if reverse:
        x = x.flip(axis)
    out = function(x, dim=axis, dtype=x.dtype)
    if exclusive:
        neutral = 0 if function is torch.cumsum else 1
        first = torch.full_like(x.narrow(axis, 0, 1), neutral)
        out = torch.cat([first, out.narrow(axis, 0, x.shape[axis] - 1)], dim=axis)
    return out.flip(axis) if reverse else out
