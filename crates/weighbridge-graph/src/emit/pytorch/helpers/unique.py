def unique(x, axis, ordered):
    """Distinct values, where each is first, which each element is, how many."""
    if axis is None:
        x, axis = x.flatten(), 0
    found, inverse, counts = torch.unique(
        x, dim=axis, sorted=True, return_inverse=True, return_counts=True
    )
    place = torch.arange(len(inverse), device=x.device)
    first = torch.full_like(counts, len(inverse))
    first = first.scatter_reduce(0, inverse, place, "amin")
    if not ordered:
        order = torch.argsort(first)
        found = found.index_select(axis, order)
        first, counts = first[order], counts[order]
        inverse = torch.argsort(order)[inverse]
    return found, first, inverse, counts
