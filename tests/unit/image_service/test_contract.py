import json
import re
from importlib import resources
from pathlib import Path

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
    assert job["error"]["properties"]["code"]["enum"] == list(JobErrorCode)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """No address outside the service, no script or style inside the page."""
    page = (_DOCS / "docs.html").read_text("utf-8")
    assert "//" not in page.replace("<!doctype", "")
    assert not re.search(r"<style|style=|<script>|onclick|javascript:", page)
    assert "http" not in (_DOCS / "docs.js").read_text("utf-8")
