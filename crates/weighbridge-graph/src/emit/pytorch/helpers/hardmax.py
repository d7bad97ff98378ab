def hardmax(x, axis):
    """One where the first of the largest values is, zero elsewhere."""
    first = x.argmax(dim=axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1)
