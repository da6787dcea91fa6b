"""Bearer tokens through the real Envoy: those that are believed, and every way to forge one."""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from authz_service.clock import SystemClock
from authz_service.testing.tokens import Signer, encoded, segment, signer
from tests.e2e.client import Reply
from tests.e2e.jwks_server import JwksServer, jwks_server
from tests.e2e.processes import eventually
from tests.e2e.stack import ROOT, Stack, default_policy_with_extra_tiers, running

LIMITS = "/api/v1/images/limits"
WORKERS = 2
ISSUER, AUDIENCE = "https://login.example.com/", "imagen"
JWT_SECRET = "e2e-secret-that-signs-simple-tokens"
RSA, EC = signer("RS256", "rsa-1"), signer("ES256", "ec-1")
FOREIGN = signer("RS256", "rsa-1", number=1)
SIMPLE = Signer("HS256", JWT_SECRET.encode())


def now_s() -> int:
    """The wall clock, which tokens go by."""
    return SystemClock().now_ms() // 1000


SUBJECTS = count()


def claims(**changes: object) -> dict[str, object]:
    """Claims that are believed now, of a subject of their own; None leaves one out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"ada-{next(SUBJECTS)}",
        "iat": now_s() - 10,
        "exp": now_s() + 600,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Running:
    """A stack, and the server that its keys come from."""

    stack: Stack
    keys: JwksServer

    def ask(self, token: bytes) -> Reply:
        """A request with a token."""
        headers = [("Authorization", f"Bearer {token.decode('latin-1')}")]
        return self.stack.client.get(LIMITS, headers)


def policy(keys: JwksServer, folder: Path) -> dict[str, Any]:
    """The default policy with three providers, of which one cannot be reached."""
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(keys.ca_pem)
    common = {"audiences": [AUDIENCE], "algorithms": ["RS256", "ES256"], "tiers": ["pro"]}
    fetched = {"jwks_ca_file": str(ca_file), "jwks_cooldown": "1s", "jwks_refresh": "5m"}
    away = {"name": "away", "issuer": "away", "jwks_url": "https://127.0.0.1:1/jwks.json"}
    login = {"name": "login", "issuer": ISSUER, "jwks_url": keys.url}
    return default_policy_with_extra_tiers() | {
        "jwt": [login | common | fetched, away | common | fetched],
        "bad_credentials": "1000/minute",
    }


@pytest.fixture(scope="module", params=["native", pytest.param("grpcio", marks=pytest.mark.slow)])
def it(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The whole stack, trusting two providers and one secret."""
    with jwks_server() as keys:
        keys.publish(RSA, EC)
        rules = policy(keys, tmp_path_factory.mktemp("tokens"))
        with running(rules, AUTHZ_GRPC_SERVER=request.param, JWT_SECRET=JWT_SECRET) as stack:
            yield Running(stack, keys)


def test_a_token_of_a_provider_is_its_subject(it: Running) -> None:
    """With its tier and limits; the application never sees the token."""
    reply = it.ask(RSA.token(claims(sub="grace", tier="pro")))

    assert (reply.status, reply.json()["tier"]) == (200, "pro")
    assert reply.header("x-ratelimit-limit") == "60"
    eventually(lambda: any("jwt:login:grace" in line for line in it.stack.output))


def test_a_token_without_a_tier_is_free(it: Running) -> None:
    """The provider's default."""
    assert it.ask(EC.token(claims(sub="free"))).json()["tier"] == "free"


def test_the_simple_secret_grants_every_tier(it: Running) -> None:
    """Of whatever issuer, to whatever audience."""
    said = claims(sub="boss", tier="enterprise", iss="anywhere", aud=None)

    assert it.ask(SIMPLE.token(said)).json()["tier"] == "enterprise"


def test_a_token_is_counted_by_its_subject(it: Running) -> None:
    """Two tokens of one subject share their limits; another subject has its own."""
    first = it.ask(RSA.token(claims(sub="shared")))
    second = it.ask(EC.token(claims(sub="shared", iat=now_s() - 5)))
    other = it.ask(EC.token(claims(sub="other")))

    assert [it.header("x-ratelimit-remaining") for it in (first, second, other)] == ["9", "8", "9"]


def confused(hash_name: str, secret: bytes) -> bytes:
    """A token signed as if the provider's public key were a secret."""
    header = {"alg": f"HS{hash_name[3:]}", "typ": "JWT", "kid": "rsa-1"}
    signed = segment(header) + b"." + segment(claims(tier="pro"))
    return signed + b"." + encoded(hmac.new(secret, signed, hash_name).digest())


def unsigned(alg: object, signature: bytes = b"") -> bytes:
    """A token that nobody signed."""
    return segment({"alg": alg, "typ": "JWT"}) + b"." + segment(claims()) + b"." + signature


def raw(header: bytes, said: bytes) -> bytes:
    """A token with these texts for header and claims, rightly signed."""
    signed = encoded(header) + b"." + encoded(said)
    return signed + b"." + encoded(RSA.sign(signed))


def spoiled(at: int, by: Callable[[bytes], bytes]) -> bytes:
    """A good token with one of its segments changed."""
    parts = RSA.token(claims()).split(b".")
    parts[at] = by(parts[at])
    return b".".join(parts)


HEADER = b'{"alg":"RS256","typ":"JWT","kid":"rsa-1"}'
DEEP = b'{"a":' * 3000 + b"1" + b"}" * 3000
ATTACKS: Mapping[str, Callable[[], bytes]] = {
    "none": lambda: unsigned("none"),
    "None with a signature": lambda: unsigned("None", b"AA"),
    "no alg": lambda: RSA.token(claims(), alg=None),
    "alg of the wrong type": lambda: unsigned(["RS256"], b"AA"),
    "public key as secret": lambda: confused("sha256", RSA.pem()),
    "public key as secret, stripped": lambda: confused("sha512", RSA.pem().strip()),
    "key set as secret": lambda: confused("sha256", json.dumps(RSA.jwk()).encode()),
    "empty secret": lambda: confused("sha256", b""),
    "simple secret for a provider": lambda: SIMPLE.token(claims()),
    "another key of the same name": lambda: FOREIGN.token(claims()),
    "embedded key": lambda: FOREIGN.token(claims(), jwk=FOREIGN.jwk()),
    "jku": lambda: FOREIGN.token(claims(), jku="https://127.0.0.1:1/jwks", x5u="https://a/"),
    "kid with a path": lambda: RSA.token(claims(), kid="../../dev/null"),
    "kid with a NUL": lambda: RSA.token(claims(), kid="rsa-1\0"),
    "kid of another type": lambda: RSA.token(claims(), kid=7),
    "kid of another key": lambda: RSA.token(claims(), kid="ec-1"),
    "no kid, several keys": lambda: Signer("PS256", RSA.key).token(claims()),
    "crit": lambda: RSA.token(claims(), crit=["exp"]),
    "b64": lambda: RSA.token(claims(), b64=False),
    "zip": lambda: RSA.token(claims(), zip="DEF"),
    "five segments": lambda: b".".join([segment({"alg": "dir", "enc": "A128GCM"})] * 5),
    "four segments": lambda: RSA.token(claims()) + b".AA",
    "two segments": lambda: RSA.token(claims()).rpartition(b".")[0],
    "empty payload": lambda: spoiled(1, lambda _: b""),
    "empty signature": lambda: spoiled(2, lambda _: b""),
    "padding": lambda: spoiled(0, lambda part: part + b"="),
    "standard base64": lambda: spoiled(2, lambda _: base64.b64encode(b"\xfb\xef" * 128)),
    "a signature of zeros": lambda: spoiled(2, lambda _: encoded(bytes(256))),
    "ECDSA zeros": lambda: EC.token(claims()).rpartition(b".")[0] + b"." + encoded(bytes(64)),
    "too large": lambda: RSA.token(claims(x="x" * 8_192)),
    "deep": lambda: raw(HEADER, DEEP[:5_000]),
    "twice": lambda: raw(HEADER, b'{"sub":"a","sub":"b","exp":9999999999}'),
    "twice in the header": lambda: raw(b'{"alg":"none",' + HEADER[1:], b'{"sub":"a"}'),
    "NaN": lambda: raw(HEADER, b'{"iss":"x","sub":"a","exp":NaN}'),
    "infinite": lambda: raw(HEADER, b'{"sub":"a","exp":1e999}'),
    "a number of thousands of digits": lambda: raw(HEADER, b'{"exp":' + b"9" * 5_000 + b"}"),
    "a list": lambda: raw(HEADER, b"[1]"),
    "no UTF-8": lambda: raw(HEADER, b'{"sub":"\xff"}'),
    "a byte order mark": lambda: raw(HEADER, b"\xef\xbb\xbf{}"),
    "no exp": lambda: RSA.token(claims(exp=None)),
    "expired": lambda: RSA.token(claims(exp=now_s() - 31)),
    "exp as text": lambda: RSA.token(claims(exp="9999999999")),
    "exp as a list": lambda: RSA.token(claims(exp=[now_s() + 60])),
    "exp as true": lambda: RSA.token(claims(exp=True)),
    "not yet": lambda: RSA.token(claims(nbf=now_s() + 90)),
    "issued in the future": lambda: RSA.token(claims(iat=now_s() + 90)),
    "lives too long": lambda: RSA.token(claims(exp=now_s() + 3 * 86_400)),
    "issuer with a suffix": lambda: RSA.token(claims(iss=f"{ISSUER}evil")),
    "issuer without its slash": lambda: RSA.token(claims(iss=ISSUER[:-1])),
    "issuers": lambda: RSA.token(claims(iss=[ISSUER])),
    "no issuer": lambda: RSA.token(claims(iss=None)),
    "another audience": lambda: RSA.token(claims(aud="imagen2")),
    "audience in capitals": lambda: RSA.token(claims(aud="IMAGEN")),
    "no audience": lambda: RSA.token(claims(aud=None)),
    "another type": lambda: RSA.token(claims(), typ="id+jwt"),
    "no subject": lambda: RSA.token(claims(sub=None)),
    "a subject that imitates a key": lambda: RSA.token(claims(sub="key:acme")),
    "a subject with a line break": lambda: RSA.token(claims(sub="a\r\nx-authz-tier: pro")),
    "a subject of another type": lambda: RSA.token(claims(sub=7)),
    "a tier that is not granted": lambda: RSA.token(claims(tier="enterprise")),
    "a tier that does not exist": lambda: RSA.token(claims(tier="PRO ")),
    "tiers": lambda: RSA.token(claims(tier=["pro"])),
    "anonymous": lambda: SIMPLE.token(claims(iss=None, tier="anonymous")),
    "a short digest": lambda: hashlib.sha256(b"x").hexdigest().encode(),
}


def test_the_attacks_start_from_what_passes(it: Running) -> None:
    """Without the attack each of the three is believed."""
    for good in (RSA.token(claims()), EC.token(claims()), SIMPLE.token(claims(iss=None))):
        assert it.ask(good).status == 200


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_forged_token_passes(it: Running, attack: str) -> None:
    """Every one is 401 with one and the same body, and none of our failures."""
    reply = it.ask(ATTACKS[attack]())

    assert reply.status == 401
    assert reply.json()["error"]["message"] == "The credential is not valid."
    assert reply.header("www-authenticate").startswith('ApiKey header="X-API-Key"')
    assert not reply.values("x-ratelimit-limit")


def test_a_provider_without_keys_is_503_and_takes_nobody_along(it: Running) -> None:
    """To be tried again: the token may be good. Readiness names the provider and stays ready."""
    reply = it.ask(RSA.token(claims(iss="away")))

    assert (reply.status, reply.code) == (503, "SERVICE_UNAVAILABLE")
    assert reply.header("retry-after") == "1"
    readiness = eventually(
        lambda: (
            answer
            if (answer := it.stack.operations.get("/readyz")).json()["details"][
                "providers_without_keys"
            ]
            else None
        )
    )
    assert readiness.status == 200
    assert readiness.json()["details"]["providers_without_keys"] == ["away"]


FAULTS: Mapping[str, Callable[[JwksServer], None]] = {
    "dead": JwksServer.hang_up,
    "empty": lambda keys: keys.say(b'{"keys": []}'),
    "HTML": lambda keys: keys.say(b"<html>login</html>", Content_Type="text/html"),
    "huge": lambda keys: keys.say(b" " * (8 << 20)),
    "redirecting": lambda keys: keys.say(b"", status=302, Location=keys.url),
    "failing": lambda keys: keys.say(b"{}", status=500),
    "slow": lambda keys: keys.drip(0.2),
    "rotated away": lambda keys: keys.say(b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_key_server_that_misbehaves_changes_nothing(it: Running, fault: str) -> None:
    """Good tokens pass on the last good set, and unknown keys are asked for within bounds."""
    FAULTS[fault](it.keys)
    before = len(it.keys.requests)
    began = SystemClock().monotonic_ms()
    stranger = signer("ES256", f"unknown-{fault}").token(claims())

    statuses = [it.ask(stranger).status for _ in range(60)]
    good = [it.ask(token(claims())).status for token in (RSA.token, EC.token)]
    elapsed_s = (SystemClock().monotonic_ms() - began) / 1000
    it.keys.publish(RSA, EC)

    assert set(statuses) == {401}
    assert good == [200, 200]
    # One a second and worker, and one that was on its way.
    assert len(it.keys.requests) - before <= WORKERS * (elapsed_s + 2)


def passes_everywhere(it: Running, key: Signer) -> bool:
    """Whether tokens of a key pass, whichever worker is asked."""
    return all(it.ask(key.token(claims())).status == 200 for _ in range(8))


def test_a_rotated_key_comes_into_force_and_the_old_one_goes(it: Running) -> None:
    """Remembered tokens of the old key stop with it."""
    fresh = signer("ES256", "ec-2")
    remembered = RSA.token(claims(tier="pro"))
    assert {it.ask(remembered).status for _ in range(8)} == {200}

    it.keys.publish(fresh)
    eventually(lambda: passes_everywhere(it, fresh))
    after = {it.ask(remembered).status for _ in range(8)}
    it.keys.publish(RSA, EC)
    eventually(lambda: passes_everywhere(it, RSA))

    assert after == {401}
    assert it.ask(remembered).status == 200


def test_no_token_is_told_to_anybody(it: Running) -> None:
    """Not in lines, not in metrics, not in readiness: neither whole nor its signature."""
    token = RSA.token(claims(sub="canary-claim", secret="canary-e2e-claim"))
    it.ask(token)
    it.ask(token[:-4])

    shown = "\n".join(it.stack.output)
    for client, path in (
        (it.stack.operations, "/metrics"),
        (it.stack.operations, "/readyz"),
        (it.stack.scrape, "/metrics"),
    ):
        shown += client.get(path).body.decode()
    assert token.decode() not in shown
    assert token.rpartition(b".")[2][:40].decode() not in shown
    assert "canary-e2e-claim" not in shown
    assert JWT_SECRET not in shown


def test_a_token_and_a_key_are_two_credentials(it: Running) -> None:
    """However good each of them is."""
    token = RSA.token(claims()).decode()
    reply = it.stack.client.get(
        LIMITS, [("Authorization", f"Bearer {token}"), ("X-API-Key", it.stack.fresh_key())]
    )

    assert reply.status == 401


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_guide_to_tokens_prints_what_it_says(it: Running) -> None:
    """A token made and sent as the guide shows it; `...` stands for anything."""
    guide = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```console\n(\$ TOKEN=.*?)^```", guide, re.DOTALL | re.MULTILINE)
    lines = shown.splitlines()
    script = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    script = script.replace(".venv/bin/python", sys.executable)
    script = script.replace("localhost:8000", f"localhost:{it.stack.client.port}")

    printed = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "JWT_SECRET": JWT_SECRET},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout

    expected = "\n".join(line for line in lines if not line.startswith("$ "))
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    assert re.match(pattern, printed, re.DOTALL), printed
