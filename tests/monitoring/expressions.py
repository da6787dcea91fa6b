"""What an expression of Prometheus's language asks for, taken apart."""

from dataclasses import dataclass

import promql_parser as promql


@dataclass(frozen=True, slots=True)
class Use:
    """Series in an expression, and the function of their range; none for values as they are.

    `selector` is all of them, as the expression has it, without the range.
    """

    series: str
    selector: str
    function: str | None
    matchers: tuple[tuple[str, str], ...]

    @property
    def matched(self) -> frozenset[str]:
        """The labels that are asked for."""
        return frozenset(name for name, _ in self.matchers)


def uses(expression: str) -> list[Use]:
    """Every series in an expression.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[Use] = []
    functions: list[str] = []  # of the range that comes next

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.Call):
            ranges = [it for it in node.args if isinstance(it, promql.MatrixSelector)]
            functions.extend(node.func.name for _ in ranges)
        elif isinstance(node, promql.VectorSelector):
            matchers = tuple((it.name, it.value) for it in node.matchers.matchers)
            function = functions.pop() if functions else None
            found.append(Use(str(node.name), str(node), function, matchers))

    promql.walk(promql.parse(expression), visit)
    return found


def grouping(expression: str) -> set[str]:
    """Every label by which an expression sums up or matches."""
    found: set[str] = set()

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier is not None:
            matching = node.modifier.matching
            found.update(matching.labels if matching is not None else ())

    promql.walk(promql.parse(expression), visit)
    return found
