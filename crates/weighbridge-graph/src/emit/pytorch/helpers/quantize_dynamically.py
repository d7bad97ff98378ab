def quantize_dynamically(x):
    """Codes of 8 bits, with the scale and the zero point that suit the values."""
    low, high = x.amin().clamp(max=0.0), x.amax().clamp(min=0.0)
    scale = (high - low) / 255
    zero = torch.round((-low / scale).clamp(0, 255))
    codes = (torch.round(x / scale) + zero).clamp(0, 255)
    return codes.to(torch.uint8), scale, zero.to(torch.uint8)
