def unsqueeze(x, axes):
    """Dimensions of size one, at axes of the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = x.unsqueeze(axis)
    return x
