def range_(start, limit, delta):
    """Numbers from start on, none where delta leads away from the limit."""
    count = max(math.ceil((limit.item() - start.item()) / delta.item()), 0)
    steps = torch.arange(count, dtype=start.dtype, device=start.device)
    return start + steps * delta
