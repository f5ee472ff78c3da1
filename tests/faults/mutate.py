"""Mutants of a source text: every small change that a rule knows of."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

OPERATORS = {ast.Add: "+-", ast.Sub: "-+", ast.Mult: "*/", ast.Div: "/*"}
COMPARISONS = {
    ast.Gt: (">", ">=", "<"),
    ast.GtE: (">=", ">", "<="),
    ast.Lt: ("<", "<=", ">"),
    ast.LtE: ("<=", "<", ">="),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}


class Mutant(NamedTuple):
    line: int  # from 1
    source: str  # the line before the change, stripped
    change: str  # "old -> new", with the column where the line has several
    text: str  # the whole file after it


def mutants(text: str, functions: set[str] | None = None) -> Iterator[Mutant]:
    """Every mutant of a file, or of the functions and methods named.

    Docstrings, annotations, `raise` statements and comments are left alone.
    """
    data = text.encode()  # the columns of ast count bytes
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(node: ast.AST, end: bool = False) -> int:
        line, column = (
            (node.end_lineno, node.end_col_offset)
            if end
            else (node.lineno, node.col_offset)
        )
        return starts[line - 1] + column

    seen = {data}
    for node in _nodes(ast.parse(text), functions):
        for first, last, old, new in _changes(node, place):
            at = data.find(old.encode(), first, last)
            if at < 0:
                continue
            changed = data[:at] + new.encode() + data[at + len(old) :]
            if changed in seen:
                continue
            seen.add(changed)
            line = data.count(b"\n", 0, at)
            source = data[starts[line] : starts[line + 1]].decode().strip()
            column = at - starts[line]
            change = f"{old} -> {new or 'nothing'}, column {column}"
            yield Mutant(line + 1, source, change, changed.decode())


def _nodes(tree: ast.AST, functions: set[str] | None) -> Iterator[ast.AST]:
    """What may be mutated, from the outside in."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Raise | ast.AnnAssign | ast.arg | ast.JoinedStr):
            continue
        if functions and isinstance(child, ast.FunctionDef):
            if child.name in functions:
                yield from _nodes(child, None)
            continue
        if not functions:
            yield child
        yield from _nodes(child, functions)


def _changes(node: ast.AST, place) -> Iterator[tuple[int, int, str, str]]:
    """Where to look, from and to; the old text to be found there; the new."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            old, new = OPERATORS[type(op)]
            yield place(left, True), place(right), old, new
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in OPERATORS:
            old, new = OPERATORS[type(op)]
            yield place(target, True), place(value), f"{old}=", f"{new}="
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            old, *others = COMPARISONS.get(type(op), ("",))
            for new in others:
                yield place(left, True), place(right), old, new
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield place(node), place(operand), "-", ""
        case ast.keyword(arg="axis", value=ast.Constant(value=axis)):
            yield place(node), place(node, True), f"={axis}", f"={1 - axis}"
        case ast.Constant(value=bool(value)):
            yield place(node), place(node, True), str(value), str(not value)
        case ast.Constant(value=int(value) | float(value)):
            old = ast.unparse(node)
            news = {str(value + 1)} | {2: {"1"}, 0.5: {"1"}}.get(value, set())
            for new in sorted(news):
                yield place(node), place(node, True), old, new
        case ast.Attribute(value=inner, attr="T"):
            yield place(inner, True), place(node, True), ".T", ""
        case ast.Return(value=ast.Tuple(elts=[first, second, *_])):
            text = ast.unparse(first), ast.unparse(second)
            if text[0] != text[1]:
                yield (
                    place(first),
                    place(second, True),
                    ", ".join(text),
                    ", ".join(text[::-1]),
                )
