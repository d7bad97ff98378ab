def gather_elements(x, indices, axis):
    """An element for each index, which may count from the end."""
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    return torch.gather(x, axis, indices.to(torch.int64))
