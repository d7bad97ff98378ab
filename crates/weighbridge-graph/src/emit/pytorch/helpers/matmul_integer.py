def matmul_integer(a, b, zero_a, zero_b):
    """A product of codes without their zero points, in whole numbers."""
    a, b = a.to(torch.int32), b.to(torch.int32)
    if zero_a is not None:
        zero_a = zero_a.to(torch.int32)
        a = a - (
            zero_a.unsqueeze(-1) if zero_a.dim() == 1 and zero_a.numel() > 1 else zero_a
        )
    if zero_b is not None:
        b = b - zero_b.to(torch.int32)
    return a @ b
