def max_pool_with_indices(pool, x, **how):
    """A pool whose indices count through the whole input, batch and channels too."""
    pooled, indices = pool(x, return_indices=True, **how)
    planes = x.shape[0] * x.shape[1]
    size = math.prod(x.shape[2:])
    offsets = torch.arange(planes, device=x.device) * size
    shape = (x.shape[0], x.shape[1], *[1] * (x.dim() - 2))
    return pooled, indices + offsets.reshape(shape)
