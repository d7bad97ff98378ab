def lrn(x, size, alpha, beta, k):
    """Response normalisation over channels, of an even number the odd one behind."""
    squares = F.pad(
        (x * x).flatten(2).unsqueeze(1),
        (0, 0, (size - 1) // 2, size - 1 - (size - 1) // 2),
    )
    means = F.avg_pool2d(squares, (size, 1), stride=1).reshape(x.shape)
    return x / (k + alpha * means) ** beta
