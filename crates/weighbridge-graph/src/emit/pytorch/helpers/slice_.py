def slice_(x, starts, ends, axes, steps):
    """Slices by Python's rules, with steps backwards too."""
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps):
        n = x.shape[axis]
        if step < 0 and end < -n:
            end = None
        picked = list(range(n))[start:end:step]
        x = x.index_select(
            axis, torch.tensor(picked, dtype=torch.int64, device=x.device)
        )
    return x
