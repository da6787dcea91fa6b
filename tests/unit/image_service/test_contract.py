import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema_rs
from aiohttp import web

from image_service.app import build
from image_service.core.bounds import MAX_SIDE, MIN_SIDE, SCALES
from image_service.core.formats import ImageFormat
from image_service.core.spec import DEFAULT_QUALITY, DEFAULT_SCALE, FIELDS
from image_service.errors import ApiException
from image_service.jobs import JobErrorCode, JobStatus
from image_service.settings import Settings
from image_service.testing import ManualClock

_DOCS = resources.files("image_service") / "docs"
_TEXT = (_DOCS / "openapi.json").read_text("utf-8")
_CONTRACT = json.loads(_TEXT)
_SCHEMAS = _CONTRACT["components"]["schemas"]
_GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
Json = dict[str, Any]


def _operations() -> Iterator[Json]:
    for item in _CONTRACT["paths"].values():
        yield from (item[method] for method in item if method != "parameters")


def _resolved(answer: Json) -> Json:
    if "$ref" not in answer:
        return answer
    found: Json = _CONTRACT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return found


def _application(folder: Path) -> web.Application:
    stores = {"REDIS_URL": "redis://store", "IMAGE_FILES_URL": folder.as_uri()}
    return build(Settings.load(stores), clock=ManualClock(), folder=folder).web_app


def test_every_route_is_in_the_contract_and_no_other(tmp_path: Path) -> None:
    """Paths and methods of the running application are exactly the documented ones."""
    served = {
        (route.resource.canonical, route.method.lower())
        for route in _application(tmp_path).router.routes()
        if route.resource is not None
    }
    documented = {
        (path, method)
        for path, item in _CONTRACT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert served == documented


def test_every_error_code_is_in_the_contract() -> None:
    """A client finds each code it may meet."""
    for kind in ApiException.__subclasses__():
        assert kind.code in _TEXT


def test_the_page_for_people_has_the_same_errors() -> None:
    """Each code with its statuses, in the table of the guide and in the contract alike."""
    table = _GUIDE.partition("## Errors")[2]
    told = {
        code: set(statuses.split(", "))
        for code, statuses in re.findall(r"^\| `([A-Z_]+)` \| ([0-9, ]+) \|", table, re.MULTILINE)
    }
    documented: dict[str, set[str]] = {}
    for operation in _operations():
        for status, answer in operation["responses"].items():
            for code in re.findall(r'"const": "([A-Z_]{4,})"', json.dumps(_resolved(answer))):
                documented.setdefault(code, set()).add(status)
    assert documented == told
    assert set(_SCHEMAS["Error"]["properties"]["error"]["properties"]["code"]["enum"]) == set(
        documented
    )


def test_every_answer_says_whose_it_is_and_how_long_it_took() -> None:
    """Both headers stand in each answer of each operation."""
    for operation in _operations():
        for answer in operation["responses"].values():
            assert {"X-Request-ID", "X-Response-Time"} <= set(_resolved(answer)["headers"])


def test_a_protected_operation_can_be_refused() -> None:
    """Whatever needs a credential has 401, 403, 413 and 429; what needs none has none of them."""
    for operation in _operations():
        refusals = {"401", "403", "413", "429"} & set(operation["responses"])
        assert refusals == ({"401", "403", "413", "429"} if operation["security"] else set())
        assert {"400", "405", "408", "431", "503"} <= set(operation["responses"])


def test_every_example_is_of_its_schema() -> None:
    """What is shown is what is promised."""
    shown = 0
    for operation in _operations():
        for answer in operation["responses"].values():
            for content in _resolved(answer).get("content", {}).values():
                schema = content["schema"] | {"components": _CONTRACT["components"]}
                for example in content.get("examples", {}).values():
                    jsonschema_rs.Draft202012Validator(schema).validate(example["value"])
                    shown += 1
    assert shown > 100


def test_references_lead_somewhere() -> None:
    """Nothing in the document points into the void."""
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', _TEXT):
        place = _CONTRACT
        for step in reference.split("/"):
            place = place[step]


def test_the_form_is_the_codes_form() -> None:
    """Fields, choices and defaults are those that are checked."""
    fields = _SCHEMAS["UpscaleForm"]["properties"]
    assert set(fields) == {"file", *FIELDS}
    assert fields["scale"]["enum"] == list(SCALES)
    assert fields["scale"]["default"] == DEFAULT_SCALE
    assert fields["format"]["enum"] == list(ImageFormat)
    assert fields["quality"]["default"] == DEFAULT_QUALITY
    assert f"{MIN_SIDE} to {MAX_SIDE}" in fields["file"]["description"]


def test_a_jobs_words_are_the_codes_words() -> None:
    """Statuses and reasons of failure are those that occur."""
    job = _SCHEMAS["Job"]["properties"]
    assert job["status"]["enum"] == list(JobStatus)
    assert _SCHEMAS["JobError"]["properties"]["code"]["enum"] == list(JobErrorCode)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """No address outside the service, no script or style inside the page."""
    page = (_DOCS / "docs.html").read_text("utf-8")
    assert "//" not in page.replace("<!doctype", "")
    assert not re.search(r"<style|style=|<script>|onclick|javascript:", page)
    assert "http" not in (_DOCS / "docs.js").read_text("utf-8")
