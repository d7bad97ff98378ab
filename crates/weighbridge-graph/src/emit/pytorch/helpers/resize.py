def resize(
    x,
    mode,
    position,
    scales=None,
    sizes=None,
    nearest="round_prefer_floor",
    axes=None,
    policy="stretch",
    cubic=-0.75,
    antialias=False,
    exclude_outside=False,
    region=None,
    outside=0.0,
):
    """Resizes along one axis after the other, as ONNX defines it."""
    axes = list(range(x.dim())) if axes is None else axes
    if sizes is None:
        sizes = [math.floor(x.shape[a] * s) for a, s in zip(axes, scales)]
    elif policy != "stretch":
        pick = min if policy == "not_larger" else max
        factor = pick(size / x.shape[a] for a, size in zip(axes, sizes))
        sizes = [math.floor(x.shape[a] * factor + 0.5) for a in axes]
        scales = [factor] * len(axes)
    if scales is None:
        scales = [size / x.shape[a] for a, size in zip(axes, sizes)]
    kind = x.dtype
    cropped = torch.zeros([1] * x.dim(), dtype=torch.bool, device=x.device)
    for i, (axis, size, scale) in enumerate(zip(axes, sizes, scales)):
        n = x.shape[axis]
        crop = None if region is None else (region[i], region[i + len(axes)])
        if size == n and scale == 1 and crop in (None, (0.0, 1.0)):
            continue
        weights, beyond = resize_weights(
            n,
            size,
            scale,
            mode,
            position,
            nearest,
            cubic,
            antialias,
            exclude_outside,
            crop,
        )
        weights, beyond = weights.to(x.device), beyond.to(x.device)
        x = torch.tensordot(x.double(), weights, dims=([axis], [1])).movedim(-1, axis)
        shape = [1] * x.dim()
        shape[axis] = -1
        cropped = cropped | beyond.reshape(shape)
    if position == "tf_crop_and_resize":
        x = torch.where(cropped, outside, x)
    return x.to(kind) if kind.is_floating_point else x.round().to(kind)
