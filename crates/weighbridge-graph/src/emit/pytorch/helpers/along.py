def along(values, x, axis):
    """One value, or one for each index along an axis, in a shape that broadcasts."""
    if values.numel() == 1:
        return values.reshape([1] * x.dim())
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.reshape(shape)
