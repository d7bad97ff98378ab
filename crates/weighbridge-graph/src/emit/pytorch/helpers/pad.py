def pad(x, pads, mode, value, axes):
    """Pads, or cuts off where a number is negative, along axes or all of them."""
    axes = list(range(x.dim())) if axes is None else axes
    for i, axis in enumerate(axes):
        before, after, n = pads[i], pads[i + len(axes)], x.shape[axis]
        at = torch.arange(-before, n + after, device=x.device)
        inside = (at >= 0) & (at < n)
        if mode == "reflect":
            at = at.remainder(max(2 * n - 2, 1))
            at = torch.where(at < n, at, 2 * n - 2 - at)
        elif mode == "wrap":
            at = at.remainder(n)
        else:
            at = at.clamp(0, max(n - 1, 0))
        if mode == "constant" and n == 0:
            shape = list(x.shape)
            shape[axis] = len(at)
            x = x.new_full(shape, value)
            continue
        x = x.index_select(axis, at)
        if mode == "constant":
            shape = [1] * x.dim()
            shape[axis] = -1
            x = torch.where(inside.reshape(shape), x, x.new_full((), value))
    return x
