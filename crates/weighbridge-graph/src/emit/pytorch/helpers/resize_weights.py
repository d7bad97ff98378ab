def resize_weights(
    n, size, scale, mode, position, nearest, cubic, shrunk, inside, crop
):
    """A matrix [size, n] of how much each pixel gives to each of the result.

    Also which pixels of the result lie outside of what is cropped.
    """
    at = torch.arange(size, dtype=torch.float64)
    if position == "align_corners":
        at = at * (n - 1) / (n * scale - 1) if size > 1 else at * 0
    elif position == "asymmetric":
        at = at / scale
    elif position == "tf_crop_and_resize":
        low, high = crop
        step = (high - low) * (n - 1) / (size - 1) if size > 1 else 0.0
        first = low * (n - 1) if size > 1 else 0.5 * (low + high) * (n - 1)
        at = first + at * step
    elif position == "pytorch_half_pixel" and size == 1:
        at = at * 0
    else:
        at = (at + 0.5) / scale - 0.5
        if position == "half_pixel_symmetric":
            at = at + n / 2 * (1 - size / (n * scale))
    outside = (at < 0) | (at > n - 1)
    if mode == "nearest":
        near = {
            "floor": torch.floor(at),
            "ceil": torch.ceil(at),
            "round_prefer_floor": torch.ceil(at - 0.5),
            "round_prefer_ceil": torch.floor(at + 0.5),
        }[nearest]
        return F.one_hot(near.long().clamp(0, n - 1), n).double(), outside
    shrink = min(scale, 1.0) if shrunk else 1.0
    reach = math.ceil((1 if mode == "linear" else 2) / shrink)
    taps = torch.floor(at).unsqueeze(1) + torch.arange(1 - reach, reach + 1)
    far = ((taps - at.unsqueeze(1)) * shrink).abs()
    if mode == "linear":
        share = (1 - far).clamp(min=0)
    else:
        close = (cubic + 2) * far**3 - (cubic + 3) * far**2 + 1
        wide = cubic * (far**3 - 5 * far**2 + 8 * far - 4)
        share = torch.where(far <= 1, close, torch.where(far < 2, wide, 0.0))
    if inside:
        share = torch.where((taps >= 0) & (taps < n), share, 0.0)
    share = share / share.sum(dim=1, keepdim=True)
    weights = torch.zeros(size, n, dtype=torch.float64)
    return weights.scatter_add(1, taps.long().clamp(0, n - 1), share), outside
