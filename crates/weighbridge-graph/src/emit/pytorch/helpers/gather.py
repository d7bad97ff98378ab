def gather(x, indices, axis):
    """Slices along an axis; indices may count from the end."""
    n = x.shape[axis]
    axis = axis % x.dim()
    indices = indices.to(x.device)
    flat = torch.where(indices < 0, indices + n, indices).flatten()
    picked = x.index_select(axis, flat)
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
