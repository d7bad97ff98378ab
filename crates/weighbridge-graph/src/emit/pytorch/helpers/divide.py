def divide(a, b):
    """Whole numbers are divided towards zero."""
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")
