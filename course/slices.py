"""The cells that one cell of a notebook needs, so that its slider can be tried in seconds, without the trainings above it.

A cell needs the last earlier cell that binds each name it uses, and the cells in between that change what the name holds
(`x[0] = …`, `x.y = …`, `x += …`, a bare `x.method(…)`). What a function does to its arguments is not seen: a slice may
skip the training of a network that it shows.
"""

import ast
import builtins
import re

from course.lessons import code_of

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def body_of(function):
    """What runs when a function is called."""
    return function.body if isinstance(function.body, list) else [function.body]


def outside(function):
    """The parts of a function that run where it is defined."""
    defaults = [node for node in function.args.kw_defaults if node]
    return [*getattr(function, "decorator_list", []), *function.args.defaults, *defaults]


def nodes_of(*nodes):
    """All nodes that run together with these and name things in one scope: inner functions, classes and loops are left out."""
    for node in nodes:
        yield node
        if isinstance(node, FUNCTIONS):
            yield from nodes_of(*outside(node))
        elif isinstance(node, ast.ClassDef):
            yield from nodes_of(*node.bases, *node.decorator_list)
        elif not isinstance(node, COMPREHENSIONS):
            yield from nodes_of(*ast.iter_child_nodes(node))


def bound(*nodes):
    """The names that running these nodes binds."""
    names = set()
    for node in nodes_of(*nodes):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names


def used(*nodes):
    """The names that these nodes read: those read at once, and those that functions defined here read when they are called."""
    now, later = set(), set()
    for node in nodes_of(*nodes):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            now.add(node.id)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            now.add(node.target.id)
        elif isinstance(node, FUNCTIONS):
            arguments = {inner.arg for inner in ast.walk(node.args) if isinstance(inner, ast.arg)}
            later |= set().union(*used(*body_of(node))) - arguments - bound(*body_of(node))
        elif isinstance(node, ast.ClassDef):
            inner, methods = used(*node.body)
            now, later = now | (inner - bound(*node.body)), later | methods
        elif isinstance(node, COMPREHENSIONS):
            inner, functions = used(*ast.iter_child_nodes(node))
            own = bound(*(loop.target for loop in node.generators))
            now, later = now | (inner - own), later | (functions - own)
    return now, later


def changed(*nodes):
    """The names whose objects these nodes change in place, as far as one can see."""
    names = set()
    for node in nodes_of(*nodes):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(root_name(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if isinstance(node.value.func, ast.Attribute):
                names.add(root_name(node.value.func))
    return names - {None}


def root_name(node):
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


class Cell:
    """What a cell binds, changes, and needs of earlier cells, at once or later, when its functions are called."""

    def __init__(self, source):
        tree = ast.parse(re.sub(r"^[%!].*", "", source, flags=re.MULTILINE))
        self.binds, self.needs, self.needs_later = set(), set(), set()
        for statement in tree.body:
            now, later = used(statement)
            inner = bound(statement) if not isinstance(statement, (ast.Assign, ast.AugAssign, ast.ClassDef)) else set()
            self.needs |= now - self.binds - inner
            self.needs_later |= later
            self.binds |= bound(statement)
        self.needs_later -= self.binds
        self.changes = changed(tree)
        imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        self.imports = bound(*imports)


def slice_for(notebook, target):
    """The indices of the cells that cell `target` needs, in order: the setup cell first, `target` itself last."""
    sources = code_of(notebook)
    cells = {k: Cell(source) for k, source in sources.items() if k <= target}
    imported = set().union(*(cell.imports for cell in cells.values()))  # `plt.show()` changes no picture of ours
    kept, wanted = {min(cells)}, [(name, target) for name in cells[target].needs | cells[target].needs_later]
    seen = set()
    while wanted:
        name, before = wanted.pop()
        if (name, before) in seen or hasattr(builtins, name):
            continue
        seen.add((name, before))
        makers = [k for k in cells if k < before and name in cells[k].binds]
        if not makers:
            continue
        changers = [k for k in cells if makers[-1] < k < target and name in cells[k].changes - imported]
        for k in {makers[-1], *changers} - kept:
            kept.add(k)
            wanted += [(need, k) for need in cells[k].needs] + [(need, target) for need in cells[k].needs_later]
    return sorted(kept | {target})


def cells_calling(notebook, function):
    """The indices of the code cells that end by calling `function` by its name, and so display what it returns."""
    found = []
    for k, source in code_of(notebook).items():
        last = ast.parse(re.sub(r"^[%!].*", "", source, flags=re.MULTILINE)).body[-1:]
        call = last[0].value if last and isinstance(last[0], ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == function:
            found.append(k)
    return found


# what takes long and doesn't matter to a slider: what stands in a cell, and what takes its place in a slice
SHORTCUTS = {
    "00_start_here": {
        "model.to(device), schedule, (8": "lambda x_t, t: x_t - 0.1 * x_t.tanh(), schedule, (8",
        "range(3000)": "range(3)",
    },
    "06_reverse_sampling": {
        "noise = model(x, torch.full((4,), t, device=device))": "noise = 0.1 * x",
        "noise = model(flat, torch.full((len(flat),), t, device=device))": "noise = 0.1 * flat",
    },
    "08_fast_sampling": {
        "step_counts = [2, 3, 5, 8, 12, 20, 35, 50]": "step_counts = [2, 3]",
        "schedule, shape, 100, progress": "schedule, shape, 3, progress",
        "assert root_mean_square(by_dpm[5] - reference) < root_mean_square(by_ddim[5] - reference)": "",
        "counts = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50]": "counts = [1, 2, 3]",
    },
}


def shortened(notebook):
    """The sources of a notebook's code cells by their index, without the long runs that a slider would only wait for."""
    sources = code_of(notebook)
    for long, short in SHORTCUTS.get(notebook.stem, {}).items():
        if not any(long in source for source in sources.values()):
            raise ValueError(f"{notebook.name} has no {long!r} any more: mend SHORTCUTS in course/slices.py")
        sources = {k: source.replace(long, short) for k, source in sources.items()}
    return sources


def without_last_statement(source):
    lines = source.splitlines()
    return "\n".join(lines[: ast.parse(source).body[-1].lineno - 1])


def sources_for(notebook, target):
    """The sources of the slice for cell `target`, shortened; of a cell that only defines its figure's drawing, not the scrubber."""
    sources, scrubbers = shortened(notebook), cells_calling(notebook, "scrub")
    return [
        without_last_statement(sources[k]) if k in scrubbers and k != target else sources[k]
        for k in slice_for(notebook, target)
    ]
