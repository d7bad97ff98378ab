def top_k(x, k, dim, largest):
    """The first k by size; equals in the order of their indices."""
    values, indices = torch.sort(x, dim=dim, descending=largest, stable=True)
    return values.narrow(dim, 0, k), indices.narrow(dim, 0, k)
