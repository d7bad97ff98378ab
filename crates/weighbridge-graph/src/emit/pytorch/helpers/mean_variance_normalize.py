def mean_variance_normalize(x, axes):
    """Mean zero and deviation one over the axes."""
    mean = x.mean(dim=axes, keepdim=True)
    variance = (x * x).mean(dim=axes, keepdim=True) - mean * mean
    return (x - mean) / (torch.sqrt(variance) + 1e-9)
