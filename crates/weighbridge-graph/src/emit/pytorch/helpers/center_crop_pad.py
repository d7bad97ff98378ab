def center_crop_pad(x, sizes, axes):
    """Cuts or pads with zeros to the sizes, the odd one behind."""
    axes = list(range(x.dim())) if axes is None else axes
    for axis, size in zip(axes, sizes):
        n = x.shape[axis]
        if n >= size:
            x = x.narrow(axis, (n - size) // 2, size)
            continue
        pads = [0, 0] * x.dim()
        place = 2 * (x.dim() - 1 - axis % x.dim())
        pads[place] = (size - n) // 2
        pads[place + 1] = size - n - (size - n) // 2
        x = F.pad(x, pads)
    return x
