"""Runs a module that `weigh convert -o net.py` wrote, and looks at every value in it."""

import ast

import torch


def renamed(comment):
    """The names of values that a comment says: `# layer -> blob, blob`."""
    _, arrow, names = comment.rpartition("-> ")
    return [name.encode("ascii").decode("unicode_escape") for name in names.split(", ")] if arrow else None


def blobs(source, forward):
    """For each variable of `forward`, the name of the value in the graph."""
    lines, names = source.splitlines(), {}
    for statement in forward.body:
        if not isinstance(statement, ast.Assign):
            continue
        target = statement.targets[0]
        targets = [t.id for t in (target.elts if isinstance(target, ast.Tuple) else [target]) if t.id != "_"]
        above = lines[statement.lineno - 2].strip()
        told = renamed(above[2:]) if above.startswith("# ") else None
        names.update(zip(targets, told or targets, strict=True))
    return names


def load(path):
    """The module with its weights, whose call also gives its local variables; the variables' names in the graph;
    the names of its inputs."""
    source = path.read_text()
    tree = ast.parse(source)
    made = [node for node in tree.body if isinstance(node, ast.ClassDef)][-1]
    forward = next(node for node in made.body if isinstance(node, ast.FunctionDef) and node.name == "forward")
    names = blobs(source, forward)
    arguments = [argument.arg for argument in forward.args.args[1:]]
    end = forward.body[-1]
    inner = ast.Call(ast.Name("locals", ast.Load()), [], [])
    end.value = ast.Tuple([end.value, inner], ast.Load())
    scope = {"__name__": "emitted", "__file__": str(path)}
    exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), scope)
    net = scope[made.name]().eval()
    weights = path.with_suffix(".pth")
    if weights.exists():
        state = torch.load(weights, weights_only=True)
    else:
        from safetensors.torch import load_file

        state = load_file(path.with_suffix(".safetensors"))
    net.load_state_dict(state, strict=True)
    return net, names, arguments


def run(path, arrays):
    """What the module gives for these inputs, in order, and every value by its name in the graph."""
    net, names, _ = load(path)
    with torch.inference_mode():
        outputs, inner = net(*[torch.from_numpy(array.copy()) for array in arrays])
    values = {name: inner[variable].numpy(force=True) for variable, name in names.items()}
    # A blob that does not depend on inputs is a buffer.
    values |= {key: value.numpy(force=True) for key, value in net.state_dict().items() if key not in values}
    given = outputs if isinstance(outputs, tuple) else (outputs,)
    return [value.numpy(force=True) for value in given], values
