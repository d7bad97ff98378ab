def compress(x, condition, axis):
    """Slices along an axis, or elements of all, where the condition holds."""
    if axis is None:
        x, axis = x.flatten(), 0
    return x.index_select(axis, torch.nonzero(condition).flatten().to(x.device))
