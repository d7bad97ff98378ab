def recurrent(module, x, h=None, c=None, reverse=False):
    """Outputs with a dimension for directions, and the last states, of a recurrent module."""
    time, batch_first = (1, True) if module.batch_first else (0, False)
    states = [h, c] if isinstance(module, nn.LSTM) else [h]
    if any(state is not None for state in states):
        like = next(state for state in states if state is not None)
        states = [torch.zeros_like(like) if state is None else state for state in states]
        states = [state.transpose(0, 1).contiguous() if batch_first else state for state in states]
        given = (tuple(states) if len(states) == 2 else states[0],)
    else:
        given = ()
    y, last = module(x.flip(time) if reverse else x, *given)
    y = y.flip(time) if reverse else y
    y = y.unflatten(-1, (-1, module.hidden_size))
    last = last if isinstance(last, tuple) else (last,)
    if batch_first:
        return (y, *(state.transpose(0, 1) for state in last))
    return (y.transpose(1, 2), *last)
