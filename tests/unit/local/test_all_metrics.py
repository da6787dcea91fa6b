"""One text of what several parts say."""

from prometheus_client.parser import text_string_to_metric_families

from authz_service.local.all_metrics import merged

_API = '# HELP jobs Jobs.\n# TYPE jobs counter\njobs{how="cancelled"} 1.0\n'
_WORKER = (
    '# HELP jobs Jobs.\n# TYPE jobs counter\njobs{how="done"} 2.0\n'
    "# HELP depth Depth.\n# TYPE depth gauge\ndepth 3.0\n"
)


def test_a_family_of_two_parts_is_told_once() -> None:
    """Its help and type once, all its series together, as the format wants it."""
    text = merged([_API, "# HELP other O.\n# TYPE other gauge\nother 1.0\n", _WORKER])
    names = [family.name for family in text_string_to_metric_families(text)]
    assert names == ["jobs", "other", "depth"]
    assert text.count("# TYPE jobs") == 1
    assert text.startswith(_API + 'jobs{how="done"} 2.0\n')


def test_a_part_that_says_nothing_changes_nothing() -> None:
    """It may just be starting."""
    assert merged(["", _API, ""]) == _API
