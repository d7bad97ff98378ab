def gather_nd(x, indices, batch):
    """Slices by tuples of indices, behind so many dimensions that both have."""
    lead = x.shape[:batch]
    x = x.flatten(0, batch - 1) if batch else x.unsqueeze(0)
    shape = indices.shape[batch:-1]
    indices = indices.reshape(x.shape[0], -1, indices.shape[-1])
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    picked = x[(rows, *indices.unbind(-1))]
    return picked.reshape(*lead, *shape, *picked.shape[2:])
