"""A policy file and its fragments as one body of data that still knows where everything stood."""

import hashlib
import json
from collections.abc import Sequence

from authz_service.policy.parse import Document
from authz_service.policy.problem import Path, Problem, Rule
from authz_service.policy.variables import Variable

_FRAGMENT_KEYS = ("tiers", "routes", "limits")


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
        # Of routes in a file that cannot be read, nobody knows whether they exist.
        if all(isinstance(document.data, dict) for document in self._documents):
            for fragment in fragments:
                self._take_limits(fragment)

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
        """Names this policy: equal for equal data, whatever the layout of text and files."""
        data = {key: value for key, value in self.data.items() if key != "include"}
        text = json.dumps(data, sort_keys=True)
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
        for end in (4, 2):  # a limit of a route or all of them, a route or tier
            if path[:end] in self._origins:
                document, local = self._origins[path[:end]]
                return document, (*local, *path[end:])
        return self._main, path

    def _take(self, fragment: Document) -> None:
        if not isinstance(fragment.data, dict):
            if not fragment.problems:
                fragment.report(Rule.INCLUDE, (), "must be a mapping of tiers, routes and limits")
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

    def _take_limits(self, fragment: Document) -> None:
        """Give routes, of whichever file, the limits that a fragment has for them."""
        limits = fragment.data.get("limits", {}) if isinstance(fragment.data, dict) else {}
        if not isinstance(limits, dict):
            fragment.report(Rule.INCLUDE, ("limits",), "must be a mapping")
            return
        left_out = [path for path in fragment.left_out if path[0] == "limits" and len(path) > 1]
        for name in dict.fromkeys((*limits, *(path[1] for path in left_out))):
            place = self._place_of_route(name)
            if place is None:
                shown = fragment.variable(("limits",)) or repr(name)
                fragment.report(Rule.UNKNOWN_ROUTE, ("limits", name), f"{shown} names no route")
            elif not isinstance(limits.get(name, []), list):
                fragment.report(Rule.INCLUDE, ("limits", name), "must be a list")
            else:
                self._limit_route(place, fragment, ("limits", name))

    def _place_of_route(self, name: object) -> int | None:
        routes = self.data.get("routes")
        for place, route in enumerate(routes if isinstance(routes, list) else []):
            if isinstance(route, dict) and route.get("name") == name:
                return place
        return None

    def _limit_route(self, place: int, fragment: Document, here: Path) -> None:
        """Put what stands in a fragment `here` behind the limits that the route has itself."""
        there: Path = ("routes", place, "limits")
        routes = list(self.data["routes"])
        own, more = routes[place].get("limits", []), fragment.value(here) or []
        if not isinstance(own, list) or not isinstance(more, list):
            return  # the schema will say so
        if "limits" not in routes[place]:
            self._origins[there] = (fragment, here)
        for number in range(len(more)):
            self._origins[*there, len(own) + number] = (fragment, (*here, number))
        inside = [path[2:] for path in fragment.left_out if path[:2] == here]
        self.left_out += [
            (*there, len(own) + path[0], *path[1:])
            for path in inside
            if path and isinstance(path[0], int)
        ]
        routes[place] = {**routes[place], "limits": [*own, *more]}
        self.data["routes"] = routes
