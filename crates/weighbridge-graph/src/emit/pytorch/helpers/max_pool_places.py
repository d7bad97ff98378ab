def max_pool_places(
    x,
    kernel,
    stride,
    dilation,
    before,
    after,
    ceil_mode,
    same=None,
    by_column=False,
):
    """The largest value of each window, and where it is in the whole input.

    Places count through batch and channels too, and through pixels by row or column.
    """
    how = (kernel, stride, dilation, before, after)
    sizes = x.shape[2:]
    places = torch.arange(math.prod(sizes), dtype=torch.float64, device=x.device)
    places = places.reshape(sizes)
    if by_column:
        places = torch.arange(math.prod(sizes), dtype=torch.float64, device=x.device)
        places = places.reshape(sizes[::-1]).permute(*reversed(range(len(sizes))))
    places = places[None, None]
    seen = windows(x, *how, -float("inf"), ceil_mode, same).flatten(x.dim())
    where = windows(places, *how, 0.0, ceil_mode, same).flatten(x.dim())
    best = seen.argmax(dim=-1, keepdim=True)
    found = where.expand(seen.shape).gather(-1, best).squeeze(-1).to(torch.int64)
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * math.prod(sizes)
    planes = planes.reshape(*x.shape[:2], *[1] * len(sizes))
    return seen.gather(-1, best).squeeze(-1), found + planes
