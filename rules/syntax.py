"""What is asked of Python's own trees of expressions, before they become ours."""

import ast


def dotted_name(node: ast.expr) -> str:
    """Return `a.b.c` of a tree of attributes; empty where anything else stands in it."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, attr):
            before = dotted_name(value)
            return f"{before}.{attr}" if before else ""
    return ""


def depth_of(tree: ast.expr) -> int:
    """Return how many expressions stand inside each other."""
    level, depth = [tree], 0
    while level:
        depth += 1
        level = [c for node in level for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)]
    return depth


def count_characters(tree: ast.expr, text: str) -> None:
    """Let offsets count characters: Python's own count the bytes of UTF-8."""
    written = text.encode()
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset = len(written[: node.col_offset].decode())
