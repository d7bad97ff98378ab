def reduce_all(function, first, *others):
    """The function over all tensors, from the first on."""
    for other in others:
        first = function(first, other)
    return first
