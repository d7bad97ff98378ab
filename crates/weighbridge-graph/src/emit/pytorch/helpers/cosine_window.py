def cosine_window(size, terms, periodic, dtype):
    """A sum of cosines with signs that alternate."""
    turns = torch.arange(size, dtype=torch.float64) / (size if periodic else size - 1)
    out = torch.zeros(size, dtype=torch.float64)
    for i, term in enumerate(terms):
        out += (-1) ** i * term * torch.cos(2 * math.pi * i * turns)
    return out.to(dtype)
