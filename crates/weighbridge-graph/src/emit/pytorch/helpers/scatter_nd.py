def scatter_nd(x, indices, updates, how):
    """Puts slices at tuples of indices, which may count from the end."""
    depth = indices.shape[-1]
    place = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for i in range(depth):
        n = x.shape[i]
        place = place * n + indices[..., i].remainder(n)
    tail = x.shape[depth:]
    rows = x.reshape(math.prod(x.shape[:depth]), -1)
    place = place.flatten().unsqueeze(1).expand(-1, rows.shape[1])
    updates = updates.reshape(place.shape)
    if how is None:
        rows = rows.scatter(0, place, updates)
    else:
        rows = rows.scatter_reduce(0, place, updates, how, include_self=True)
    return rows.reshape(*x.shape[:depth], *tail)
