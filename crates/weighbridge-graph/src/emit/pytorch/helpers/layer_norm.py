def layer_norm(x, scale, bias, axis, epsilon):
    """The result, the mean and one over the deviation, over dimensions from axis on."""
    dims = tuple(range(axis % x.dim(), x.dim()))
    mean = x.mean(dim=dims, keepdim=True)
    away = x - mean
    inverse = torch.rsqrt((away * away).mean(dim=dims, keepdim=True) + epsilon)
    out = away * inverse * scale
    if bias is not None:
        out = out + bias
    return out, mean, inverse
