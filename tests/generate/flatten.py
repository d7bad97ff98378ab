"""Names of the tensors in anything that torch.save takes, as `weigh` names them."""

import types

import numpy as np
import torch
from torch import nn

import truth

# What nn.Module keeps for itself.
INTERNAL = frozenset(nn.Module().__dict__) - {"training"}


def flatten(value, prefix="", in_state_dict=True):
    """Yields (name, tensor, whether state_dict() has it): keys and indices joined by dots."""
    below = f"{prefix}." if prefix else ""
    if isinstance(value, torch.Tensor) and value.layout != torch.strided:
        yield prefix, value.to_dense(), in_state_dict
        for part, tensor in sparse_parts(value):
            yield below + part, tensor, False
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        yield prefix, value, in_state_dict
    elif isinstance(value, nn.Module):
        yield from of_module(value, below, in_state_dict)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{below}{key}", in_state_dict)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            if item is not value:
                yield from flatten(item, f"{below}{i}", in_state_dict)
    elif hasattr(value, "__dict__") and not isinstance(value, (type, types.FunctionType)):
        yield from flatten(vars(value), prefix, in_state_dict)


def of_module(module, below, in_state_dict):
    state = module.state_dict(keep_vars=True)
    for name, tensor in state.items():
        yield below + name, tensor, in_state_dict
    for name, buffer in module.named_buffers(remove_duplicate=False):
        if name not in state:
            yield below + name, buffer, False
    listed = {id(tensor) for tensor in state.values()}
    for path, child in module.named_modules(remove_duplicate=False):
        at = below + (f"{path}." if path else "")
        for key, value in vars(child).items():
            if key not in INTERNAL:
                # Lists of the module's own parameters (as RNNs keep) say nothing new.
                yield from ((n, t, s) for n, t, s in flatten(value, at + key, False) if id(t) not in listed)


def sparse_parts(tensor):
    """The plain tensors that a sparse one is made of."""
    if tensor.layout == torch.sparse_coo:
        return [("indices", tensor._indices()), ("values", tensor._values())]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [
            ("crow_indices", tensor.crow_indices()),
            ("col_indices", tensor.col_indices()),
            ("values", tensor.values()),
        ]
    return [
        ("ccol_indices", tensor.ccol_indices()),
        ("row_indices", tensor.row_indices()),
        ("values", tensor.values()),
    ]


def entries(value):
    """The truth of everything in `value`."""
    found = []
    for name, tensor, in_state_dict in flatten(value):
        extra = {} if in_state_dict else {"in_state_dict": False}
        of = truth.of_numpy if isinstance(tensor, np.ndarray) else truth.of_torch
        found.append(of(name, tensor, **extra))
    return found
