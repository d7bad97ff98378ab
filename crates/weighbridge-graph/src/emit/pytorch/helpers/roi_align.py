def roi_align(x, boxes, batch, size, ratio, scale, mode, half_pixel):
    """Averages or maxima of samples in each bin of each region."""
    rows, columns = size
    out = []
    for box, image in zip(boxes * scale - (0.5 if half_pixel else 0.0), batch.tolist()):
        left, top, right, bottom = box.tolist()
        width, height = right - left, bottom - top
        if not half_pixel:
            width, height = max(width, 1.0), max(height, 1.0)
        down = ratio if ratio > 0 else math.ceil(height / rows)
        across = ratio if ratio > 0 else math.ceil(width / columns)
        ys = top + (torch.arange(rows * down) + 0.5) * (height / (rows * down))
        xs = left + (torch.arange(columns * across) + 0.5) * (
            width / (columns * across)
        )
        lines, spots = [], []
        for at, n, found in ((ys, x.shape[2], lines), (xs, x.shape[3], spots)):
            inside = ((at >= -1.0) & (at <= n)).to(x.dtype)
            at = at.clamp(0, n - 1)
            first = at.floor().long()
            found += [
                first,
                (first + 1).clamp(max=n - 1),
                (at - first).to(x.dtype),
                inside,
            ]
        (y0, y1, fy, in_y), (x0, x1, fx, in_x) = lines, spots
        picture = x[image]
        mask = in_y.unsqueeze(1) * in_x
        corners = [
            picture[:, y0][:, :, x0] * ((1 - fy).unsqueeze(1) * (1 - fx) * mask),
            picture[:, y0][:, :, x1] * ((1 - fy).unsqueeze(1) * fx * mask),
            picture[:, y1][:, :, x0] * (fy.unsqueeze(1) * (1 - fx) * mask),
            picture[:, y1][:, :, x1] * (fy.unsqueeze(1) * fx * mask),
        ]
        if mode == "avg":
            samples = corners[0] + corners[1] + corners[2] + corners[3]
        else:
            samples = torch.stack(corners).amax(dim=0)
        samples = samples.reshape(-1, rows, down, columns, across)
        out.append(
            samples.mean(dim=(2, 4)) if mode == "avg" else samples.amax(dim=(2, 4))
        )
    return torch.stack(out) if out else x.new_zeros(0, x.shape[1], rows, columns)
