def depth_to_space(x, block):
    """Channels become blocks of pixels; the block's place is the slower dimension."""
    n, c, h, w = x.shape
    x = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // block**2, h * block, w * block)
