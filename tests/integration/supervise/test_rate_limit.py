"""Rules by descriptor, in a whole service: asked over HTTP, shown, changed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from authz_service.wire.services import RateLimitRequest, RateLimitServiceStub
from tests.e2e.client import Client, Reply
from tests.e2e.processes import eventually
from tests.integration.admin.api import AUTHORIZATION, TOKEN
from tests.integration.supervise.conftest import KEY, Service, Start, free_port

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the service is asked through Unix sockets"
)

FILE = """
domain: shop
descriptors: [{{key: user, rate_limit: {{unit: day, requests_per_unit: {limit}}}}}]
"""
LINE = b"shop.user: unit=DAY requests_per_unit=%d, shadow_mode: false, quota_mode: false\n"
ANN = {"domain": "shop", "descriptors": [{"entries": [{"key": "user", "value": "ann"}]}]}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A file that lets four pass."""
    file = tmp_path / "limits.yaml"
    file.write_text(FILE.format(limit=4), "utf-8")
    return file


def wait_until_ready(service: Service) -> None:
    """Wait until all workers serve, and the supervisor knows of one."""
    service.wait_until_ready()
    eventually(lambda: service.operations.get("/healthcheck").status == 200)


def asked(service: Service) -> Reply:
    """What it answers to a question about Ann."""
    return service.operations.send("POST", "/json", (), json.dumps(ANN).encode())


def told(service: Service, sample: str) -> bool:
    """Whether a scrape begins a line so."""
    return f"\n{sample}" in service.operations.get("/metrics").body.decode()


def readiness(service: Service) -> Any:  # noqa: ANN401 - JSON
    """What `/readyz` tells beside the status."""
    return service.operations.get("/readyz").json()["details"]


def test_workers_count_what_is_asked_in_json(start: Start, rules: Path) -> None:
    """One counter for both, whoever is asked."""
    service = start("0", AUTHZ_RATELIMIT_DIR=str(rules.parent), AUTHZ_RATELIMIT_JSON="true")
    wait_until_ready(service)
    answers = [asked(service) for _ in range(5)]
    assert [it.status for it in answers] == [200, 200, 200, 200, 429]
    (status,) = json.loads(answers[4].body)["statuses"]
    assert status["currentLimit"] == {"requestsPerUnit": 4, "unit": "DAY"}


def test_rules_are_shown_as_they_change(start: Start, rules: Path) -> None:
    """The admin API and the workers have the new ones, and what was counted stays counted."""
    port = free_port()
    service = start(
        "0",
        AUTHZ_RATELIMIT_DIR=str(rules.parent),
        AUTHZ_RATELIMIT_JSON="true",
        AUTHZ_ADMIN_TOKEN=TOKEN,
        AUTHZ_ADMIN_LISTEN=f"127.0.0.1:{port}",
    )
    wait_until_ready(service)
    admin = Client(port)

    def shown() -> bytes:
        return admin.get("/v1/ratelimit/rules", AUTHORIZATION.items()).body

    assert shown() == LINE % 4
    assert asked(service).status == 200
    rules.write_text(FILE.format(limit=1), "utf-8")
    eventually(lambda: shown() == LINE % 1)
    eventually(lambda: [asked(service).status for _ in range(4)] == [429] * 4)


def test_a_bad_file_of_limits_keeps_no_key_from_being_revoked(
    start: Start, rules: Path, tmp_path: Path
) -> None:
    """Workers go by the new keys and the old limits, and operators see which part is not new."""
    keys = tmp_path.with_name("keys.yaml")
    keys.write_text("[{name: one, tier: free, key: key-in-a-file}]", "utf-8")
    service = start(
        "0",
        AUTHZ_RATELIMIT_DIR=str(rules.parent),
        AUTHZ_RATELIMIT_JSON="true",
        AUTHZ_KEYS_FILE=str(keys),
    )
    wait_until_ready(service)
    assert service.check(0, "key-in-a-file")

    good = readiness(service)["descriptors"]

    rules.write_text("domain: shop\nratelimit: 1\n", "utf-8")
    eventually(lambda: told(service, "authz_ratelimit_files_failed 1"))
    assert told(service, 'authz_policy_loads_total{outcome="success"} 2')  # those of the start
    keys.write_text("[]", "utf-8")
    eventually(lambda: [service.check(index, "key-in-a-file") for index in (0, 1)] == [False] * 2)

    # The supervisor looks for itself, a moment sooner or later.
    eventually(lambda: readiness(service)["not_in_force"] == ["descriptors"])
    assert readiness(service)["refused"] == ["limits.yaml: config error, unknown key 'ratelimit'"]
    assert told(service, "authz_policy_failed 0")
    assert [asked(service).status for _ in range(5)] == [200, 200, 200, 200, 429]

    assert readiness(service)["descriptors"] == good

    rules.write_text(FILE.format(limit=5), "utf-8")
    eventually(lambda: told(service, "authz_ratelimit_files_failed 0"))
    eventually(lambda: readiness(service)["not_in_force"] == [])
    assert readiness(service)["descriptors"] != good


def test_limits_by_descriptor_need_no_policy_and_no_keys(
    start: Start, rules: Path, run_dir: Path
) -> None:
    """Checks are refused, Envoy is told nothing, a reload works, and the rules are shown."""
    port = free_port()
    service = start(
        "0",
        **dict.fromkeys(("AUTHZ_POLICY_FILE", "API_KEYS", "AUTHZ_KEYS_URL"), ""),
        AUTHZ_RATELIMIT_DIR=str(rules.parent),
        AUTHZ_RATELIMIT_JSON="true",
        AUTHZ_ADMIN_TOKEN=TOKEN,
        AUTHZ_ADMIN_LISTEN=f"127.0.0.1:{port}",
    )
    wait_until_ready(service)
    admin = Client(port)
    assert [asked(service).status for _ in range(5)] == [200, 200, 200, 200, 429]
    assert service.status(0, KEY) == 403
    assert [file.name for file in run_dir.glob("*.yaml")] == ["policy.yaml"]  # the test's own

    rules.write_text(FILE.format(limit=9), "utf-8")
    shown = ("/v1/ratelimit/rules", AUTHORIZATION.items())
    eventually(lambda: admin.get(*shown).body == LINE % 9)
    assert [file.name for file in run_dir.glob("*.yaml")] == ["policy.yaml"]  # the test's own
    assert readiness(service)["policy"] == "none"
    for method, path in (("GET", "/v1/keys"), ("POST", "/v1/keys/import"), ("GET", "/v1/keys/a")):
        answer = admin.send(method, path, AUTHORIZATION.items())
        assert answer.status == 404
        message = answer.json()["error"]["message"]
        assert message == "There is no key store: AUTHZ_KEYS_URL is not set."
    assert admin.get("/v1/usage/key:a?tier=free", AUTHORIZATION.items()).status == 422


def test_files_that_limit_nothing_are_told(start: Start, rules: Path) -> None:
    """At the start and after a change, in one line each: all questions pass from then on."""
    rules.rename(rules.with_name(".limits.yaml"))
    port = free_port()
    service = start(
        "0",
        AUTHZ_RATELIMIT_DIR=str(rules.parent),
        AUTHZ_ADMIN_TOKEN=TOKEN,
        AUTHZ_ADMIN_LISTEN=f"127.0.0.1:{port}",
    )
    wait_until_ready(service)
    shown = ("/v1/ratelimit/rules", AUTHORIZATION.items())
    rules.write_text(FILE.format(limit=4), "utf-8")
    eventually(lambda: Client(port).get(*shown).body == LINE % 4)
    rules.write_text("domain: shop\n", "utf-8")
    eventually(lambda: Client(port).get(*shown).body == b"")
    service.process.terminate()
    _, output = service.wait()
    told = [json.loads(line) for line in output]
    warning = "no descriptor file has a limit: questions about descriptors all pass"
    assert [it["message"] for it in told].count(warning) == 2
    assert next(it["domains"] for it in told if it["message"] == "starting") == 0


def test_nothing_counts_unless_it_is_wanted(start: Start, rules: Path) -> None:
    """Files alone open no way to the counters; without files there is not even a healthcheck."""
    service = start("0", AUTHZ_RATELIMIT_DIR=str(rules.parent))
    wait_until_ready(service)
    assert service.operations.get("/healthcheck").body == b"OK"
    assert asked(service).status == 404


def test_without_files_there_is_nothing(start: Start) -> None:
    """404 for both, whatever is wanted."""
    service = start("0", AUTHZ_RATELIMIT_JSON="true")
    service.wait_until_ready()
    assert service.operations.get("/healthcheck").status == 404
    assert asked(service).status == 404


def answered(service: Service, domain: str) -> int | grpc.StatusCode:
    """The code that the first worker answers with to a question about Ann, or its status."""
    question = RateLimitRequest(domain=domain)
    question.descriptors.add().entries.add(key="user", value="ann")
    with grpc.insecure_channel(f"unix:{service.socket(0)}") as channel:
        stub = RateLimitServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            code: int = stub.ShouldRateLimit(question, timeout=5).overall_code
        except grpc.RpcError as error:
            status: grpc.StatusCode = error.code()
            return status
        return code


def counted(service: Service) -> Mapping[str, float]:
    """What a scrape shows of questions that is not nothing, by name and label values."""
    text = service.operations.get("/metrics").body.decode()
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.value and sample.name.startswith("authz_ratelimit")
        if not sample.name.endswith(("_bucket", "_sum", "_created", "_timestamp_seconds"))
    }


def test_a_scrape_shows_what_became_of_questions(start: Start, rules: Path) -> None:
    """Over gRPC and in JSON, answered by the workers or refused before them; in shadow."""
    service = start(
        "0",
        AUTHZ_RATELIMIT_DIR=str(rules.parent),
        AUTHZ_RATELIMIT_JSON="true",
        AUTHZ_RATELIMIT_SHADOW="true",
    )
    wait_until_ready(service)
    assert [asked(service).status for _ in range(4)] == [200] * 4
    assert [answered(service, domain) for domain in ("shop", "shopp", "authz")] == [1, 1, 1]
    assert answered(service, "") is grpc.StatusCode.UNKNOWN
    for body in (b"{", b'{"domain": "shop"}', b'{"domain": "authz"}'):
        assert service.operations.send("POST", "/json", (), body).status == 400
    assert counted(service) == {
        "authz_ratelimit_rules_loaded": 1,
        "authz_ratelimit_answers_total ok files": 6,
        "authz_ratelimit_answers_total ok policy": 1,
        "authz_ratelimit_answers_total error files": 2,
        "authz_ratelimit_errors_total files no_domain": 1,
        "authz_ratelimit_errors_total files no_descriptors": 1,
        "authz_ratelimit_duration_seconds_count": 9,
        "authz_ratelimit_unknown_domain_total": 1,
        "authz_ratelimit_shadow_answers_total": 1,
        "authz_ratelimit_json_refused_total malformed": 1,
        "authz_ratelimit_json_refused_total unanswered": 1,
        "authz_ratelimit_json_refused_total policy_domain": 1,
    }
