"""A policy file and its fragments as one body of data that still knows where everything stood."""

import hashlib
import json
from collections.abc import Sequence

from authz_service.policy.parse import Document
from authz_service.policy.problem import Path, Problem, Rule
from authz_service.policy.variables import Variable

_FRAGMENT_KEYS = ("tiers", "routes")


class Merged:
    """The data of all files together. Problems are reported where the text stands."""

    def __init__(self, main: Document, fragments: Sequence[Document]) -> None:
        self._main = main
        self._documents = (main, *fragments)
        self._origins: dict[Path, tuple[Document, Path]] = {}
        self.is_mapping = isinstance(main.data, dict)
        self.data = dict(main.data) if isinstance(main.data, dict) else {}
        self.left_out = list(main.left_out)
        if not self.is_mapping and not main.problems:
            main.report(Rule.VALUE, (), "must be a mapping")
        for fragment in fragments:
            self._take(fragment)

    @property
    def problems(self) -> list[Problem]:
        """Every problem of every file, in reading order."""
        return [
            problem
            for document in self._documents
            for problem in sorted(document.problems, key=lambda problem: problem.order)
        ]

    @property
    def digest(self) -> str:
        """Names this policy: equal for equal data, whatever the layout of the text."""
        text = json.dumps(self.data, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def report(self, rule: Rule, path: Path, message: str) -> None:
        """Note a broken rule at `path` of the merged data."""
        document, local = self._origin(path)
        document.report(rule, local, message)

    def is_reported(self, path: Path) -> bool:
        """Whether a problem at exactly `path` has been noted."""
        document, local = self._origin(path)
        return any(problem.path == local for problem in document.problems)

    def value(self, path: Path) -> object:
        """What stands at `path`, or None."""
        document, local = self._origin(path)
        return document.value(local)

    def variable(self, path: Path) -> Variable | None:
        """The variable that the value at `path` came from."""
        document, local = self._origin(path)
        return document.variable(local)

    def shown(self, path: Path, value: object) -> str:
        """The value at `path` as messages show it: one of the environment may be a secret."""
        return str(self.variable(path) or repr(value))

    def _origin(self, path: Path) -> tuple[Document, Path]:
        document, local = self._origins.get(path[:2], (self._main, path[:2]))
        return document, (*local, *path[2:])

    def _take(self, fragment: Document) -> None:
        if not isinstance(fragment.data, dict):
            if not fragment.problems:
                fragment.report(Rule.INCLUDE, (), "must be a mapping of tiers and routes")
            return
        left_out = {path[0] for path in fragment.left_out if len(path) == 1}
        for key in (fragment.data.keys() | left_out) - set(_FRAGMENT_KEYS):
            fragment.report(Rule.INCLUDE, (key,), "does not belong in a fragment")
        self._take_tiers(fragment, fragment.data.get("tiers", {}))
        self._take_routes(fragment, fragment.data.get("routes", []))

    def _take_tiers(self, fragment: Document, tiers: object) -> None:
        ours = self.data.get("tiers", {})
        if not isinstance(tiers, dict) or not isinstance(ours, dict):
            fragment.report(Rule.INCLUDE, ("tiers",), "must be a mapping")
            return
        for name in tiers.keys() & ours.keys():
            fragment.report(Rule.INCLUDE_CLASH, ("tiers", name), "is defined in two files")
        left_out = [path for path in fragment.left_out if path[0] == "tiers" and len(path) > 1]
        self.left_out += left_out
        for name in (*tiers, *(path[1] for path in left_out)):
            self._origins["tiers", name] = (fragment, ("tiers", name))
        self.data["tiers"] = {**ours, **tiers}

    def _take_routes(self, fragment: Document, routes: object) -> None:
        ours = self.data.get("routes", [])
        if not isinstance(routes, list) or not isinstance(ours, list):
            fragment.report(Rule.INCLUDE, ("routes",), "must be a list")
            return
        for place in range(len(routes)):
            self._origins["routes", len(ours) + place] = (fragment, ("routes", place))
        self.left_out += [
            ("routes", len(ours) + path[1], *path[2:])
            for path in fragment.left_out
            if path[0] == "routes" and len(path) > 1 and isinstance(path[1], int)
        ]
        self.data["routes"] = [*ours, *routes]
