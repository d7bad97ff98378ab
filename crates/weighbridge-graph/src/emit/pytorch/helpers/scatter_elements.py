def scatter_elements(x, indices, updates, axis, how):
    """Puts elements at indices, which may count from the end."""
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    indices = indices.to(torch.int64)
    if how is None:
        return x.scatter(axis, indices, updates)
    return x.scatter_reduce(axis, indices, updates, how, include_self=True)
