def space_to_depth(x, block):
    """Blocks of pixels become channels; the block's place is the slower dimension."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * block**2, h // block, w // block)
