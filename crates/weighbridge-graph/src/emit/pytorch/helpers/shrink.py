def shrink(x, lambd, bias):
    """What lies within lambd of zero is zero, the rest moves towards it by bias."""
    zero = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero)).to(
        x.dtype
    )
