def lp_normalize(x, axis, p):
    """Divided by the p-norm; zero where that is zero."""
    norm = torch.linalg.vector_norm(x, ord=p, dim=axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)
