"""The files: what is in which, always the same, and how they get into place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from authz_service.envoyconf.model import (
    BOOTSTRAP_FILE,
    CLUSTERS_FILE,
    LISTENERS_FILE,
    ROUTES_FILE,
)
from authz_service.envoyconf.render import render, render_standalone, write
from tests.unit.envoyconf.builders import default_policy, settings_in

_FOLDER = Path("/run/authz")
_FILES = {BOOTSTRAP_FILE, CLUSTERS_FILE, LISTENERS_FILE, ROUTES_FILE}


def _rendered() -> dict[str, Any]:
    files = render(default_policy(), settings_in(_FOLDER))
    return {name: yaml.safe_load(text) for name, text in files.items()}


def test_the_same_policy_gives_the_same_bytes() -> None:
    """Two renderings are equal, without anchors, and readable line by line."""
    first = render(default_policy(), settings_in(_FOLDER))
    assert first == render(default_policy(), settings_in(_FOLDER))
    assert set(first) == _FILES
    for text in first.values():
        assert "&id" not in text
        assert text.endswith("\n")


def test_every_resource_carries_the_policys_version() -> None:
    """Envoy reports it, so it can be compared."""
    files = _rendered()
    for name in _FILES - {BOOTSTRAP_FILE}:
        assert files[name]["version_info"] == default_policy().digest
        assert len(files[name]["resources"]) == 1
        assert files[name]["resources"][0]["@type"].startswith("type.googleapis.com/envoy.config.")


def test_the_files_refer_to_each_other() -> None:
    """By absolute path, and with the folder watched."""
    files = _rendered()
    dynamic = files[BOOTSTRAP_FILE]["dynamic_resources"]
    manager = files[LISTENERS_FILE]["resources"][0]["filter_chains"][0]["filters"][0]
    sources = {
        CLUSTERS_FILE: dynamic["cds_config"],
        LISTENERS_FILE: dynamic["lds_config"],
        ROUTES_FILE: manager["typed_config"]["rds"]["config_source"],
    }
    for name, source in sources.items():
        assert source["path_config_source"] == {
            "path": f"{_FOLDER}/{name}",
            "watched_directory": {"path": str(_FOLDER)},
        }


def test_standalone_follows_nothing() -> None:
    """All of it stands in one document."""
    document = yaml.safe_load(render_standalone(default_policy(), settings_in(_FOLDER)))
    assert "dynamic_resources" not in document
    listeners = {it["name"] for it in document["static_resources"]["listeners"]}
    clusters = {it["name"] for it in document["static_resources"]["clusters"]}
    assert (listeners, clusters) == ({"public", "scrape"}, {"authz", "upstream", "admin"})


def test_written_files_are_whole(tmp_path: Path) -> None:
    """They replace the old ones by rename and leave nothing beside them."""
    (tmp_path / ROUTES_FILE).write_text("old")
    reader = (tmp_path / ROUTES_FILE).open()
    files = render(default_policy(), settings_in(tmp_path))
    write(files, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files
    assert reader.read() == "old"
    reader.close()


def test_what_is_referred_to_is_written_first(tmp_path: Path) -> None:
    """Where the listener cannot be written, its clusters and routes are already in place."""
    (tmp_path / LISTENERS_FILE).mkdir()
    with pytest.raises(OSError, match="lds"):
        write(render(default_policy(), settings_in(tmp_path)), tmp_path)
    assert (tmp_path / CLUSTERS_FILE).is_file()
    assert (tmp_path / ROUTES_FILE).is_file()
    assert not (tmp_path / BOOTSTRAP_FILE).exists()


def test_nothing_is_traced_without_a_collector() -> None:
    """No file says anything of it; with one, Envoy knows where it is and how much to sample."""
    off = "".join(render(default_policy(), settings_in(_FOLDER)).values())
    assert [it for it in ("tracing", "collector", "opentelemetry", "TRACE_ID") if it in off] == []
    settings = replace(settings_in(_FOLDER), collector=("collector", 4317), trace_sampling=0.25)
    files = render(default_policy(), settings)
    clusters = yaml.safe_load(files[BOOTSTRAP_FILE])["static_resources"]["clusters"]
    assert [it["type"] for it in clusters if it["name"] == "collector"] == ["STRICT_DNS"]
    assert "numerator: 250000\n" in files[LISTENERS_FILE]
    assert "< ''40000000''" in files[LISTENERS_FILE]
