"""How long the code is: told after a test run, enforced by nobody."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _functions(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of each function, without its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body[0] if ast.get_docstring(node, clean=False) else None
            spent = (said.end_lineno or 0) - said.lineno + 1 if said else 0
            yield (node.end_lineno or 0) - node.lineno + 1 - spent


def report(root: Path = ROOT) -> list[str]:
    """Return three lines: functions, the longest modules, product against tests."""
    product = {
        path: path.read_text()
        for folder in ("shared", "helpers", "install")
        for path in (root / folder).glob("hushkey*/**/*.py")
    }
    functions = sorted(n for t in product.values() for n in _functions(ast.parse(t)))
    longest = sorted(
        ((len(text.splitlines()), path) for path, text in product.items()),
        reverse=True,
    )[:3]
    ours = sum(len(text.splitlines()) for text in product.values())
    tests = sum(
        len(path.read_text().splitlines()) for path in (root / "tests").rglob("*.py")
    )
    return [
        f"functions: median {statistics.median(functions):g}, "
        f"90 % up to {functions[int(0.9 * len(functions))]}, max {functions[-1]}",
        "longest: " + ", ".join(f"{path.relative_to(root)} {n}" for n, path in longest),
        f"lines: product {ours}, tests {tests}, {tests / ours:.2f} to 1",
    ]
