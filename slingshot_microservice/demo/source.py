"""What there is to know about a Python source file."""

from __future__ import annotations

import ast
import threading
import warnings

__all__ = ["measure", "parse"]

_FILTERS_LOCK = threading.Lock()  # the filters of warnings are the whole process's


def parse(source: bytes) -> ast.Module:
    """Parse a source file in the encoding that it declares, without a word about its style.

    Raises:
        SyntaxError: It is not Python, or not in its encoding.
        ValueError: It holds null bytes.
        RecursionError: It is nested too deeply.
        MemoryError: It is nested far too deeply.
    """
    with _FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def measure(source: bytes) -> dict[str, int]:
    """Count lines, functions and classes, and the lines of the longest function.

    Raises:
        SyntaxError: As `parse`, and so on.
    """
    nodes = list(ast.walk(parse(source)))
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = [(n.end_lineno or n.lineno) - n.lineno + 1 for n in functions]
    return {
        "lines": len(source.splitlines()),
        "functions": len(functions),
        "classes": sum(isinstance(n, ast.ClassDef) for n in nodes),
        "longest_function": max(lengths, default=0),
    }
