def product(x, dim, keepdim=False):
    """The product over several dimensions."""
    dims = [dim] if isinstance(dim, int) else dim
    for axis in sorted((d % max(x.dim(), 1) for d in dims), reverse=True):
        x = x.prod(dim=axis, keepdim=keepdim, dtype=x.dtype)
    return x
