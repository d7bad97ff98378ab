def one_hot(indices, depth, values, axis):
    """One of two values; indices may count from the end, and be out of range."""
    indices = indices.to(torch.int64)
    at = torch.where(indices < 0, indices + depth, indices).unsqueeze(axis)
    shape = [1] * at.dim()
    shape[axis] = depth
    on = at == torch.arange(depth, device=at.device).reshape(shape)
    return torch.where(on, values[1], values[0])
