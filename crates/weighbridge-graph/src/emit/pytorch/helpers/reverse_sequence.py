def reverse_sequence(x, lengths, time, batch):
    """Turns the first elements of each sequence around."""
    x = x.movedim((batch, time), (0, 1))
    steps = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
    lengths = lengths.unsqueeze(1)
    at = torch.where(steps < lengths, lengths - 1 - steps, steps)
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    return x[rows, at].movedim((0, 1), (batch, time))
