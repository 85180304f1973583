"""What every signature scheme keeps to, whichever file it came in. A new scheme runs through this by being there."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.errors import BadSignature, Invalid
from dash_app.pipelines.sources import SignatureScheme, load_schemes

NOW = 1_700_000_000.0
BODY = b'{"n": 1, "site": "a"}'
AWKWARD = b"\x00\xff\xfe not text \r\n"

SCHEMES = list(load_schemes())
every = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.kind)
every_signed = pytest.mark.parametrize("scheme", [s for s in SCHEMES if s.signed], ids=lambda scheme: scheme.kind)
every_covering = pytest.mark.parametrize(
    "scheme", [s for s in SCHEMES if s.covers_body], ids=lambda scheme: scheme.kind
)

NODE = shutil.which("node")

#: Header values as hostile senders and odd proxies make them, surrogates and control characters included.
TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def signed(made: SignatureScheme, secret: str, body: bytes = BODY, delivery: str = "d-1") -> dict[str, str]:
    return lower(made.sign(body, secret, delivery, NOW))


@every
def test_declaration(scheme: type[SignatureScheme]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,40}", scheme.kind)
    assert scheme.summary.endswith(".")
    assert all(parameter.doc for parameter in scheme.options().values())
    jsonschema.Draft202012Validator.check_schema(scheme.json_schema())
    jsonschema.validate(dict(scheme.example), scheme.json_schema())
    made = scheme.from_options(scheme.example)
    assert scheme.from_options(made.to_options()).to_options() == made.to_options()
    json.dumps(made.to_options())
    with pytest.raises(Invalid, match="no_such_option"):
        scheme.from_options({"no_such_option": 1})


@every
def test_what_is_signed_is_accepted(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    made.check_secret(secret)
    for body in (BODY, b"", AWKWARD, b"x" * 100_000):
        made.verify(body, signed(made, secret, body), [secret], NOW)


@every
def test_headers_that_are_made_can_be_sent(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    for name, value in made.sign(BODY, made.generate_secret(), "d-1", NOW).items():
        assert re.fullmatch(r"[A-Za-z0-9-]+", name)
        assert value.isascii()
        assert value.isprintable()


@every
def test_a_resend_has_the_same_delivery_id(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    one, again, two = (
        made.sign(BODY, secret, delivery, at) for delivery, at in (("a", NOW), ("a", NOW + 9), ("b", NOW))
    )
    assert made.delivery_id(lower(one), BODY) == made.delivery_id(lower(again), BODY)
    if made.delivery_id(lower(one), BODY) is not None:
        assert made.delivery_id(lower(one), BODY) != made.delivery_id(lower(two), BODY)
    assert made.delivery_id({}, b"") is None


@every_signed
def test_secrets_are_long_and_never_the_same(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    found = {made.generate_secret() for _ in range(50)}
    assert len(found) == 50
    assert all(len(secret) >= 40 and secret.isascii() for secret in found)
    for bad in ("", " x", "a\nb"):
        with pytest.raises(Invalid) as error:
            made.check_secret(bad)
        assert [where for where, _ in error.value.problems] == ["secret"]


@every_signed
def test_either_of_two_live_secrets_will_do(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    old, new, other = (made.generate_secret() for _ in range(3))
    for secret in (old, new):
        made.verify(BODY, signed(made, secret), [new, old], NOW)
        made.verify(BODY, signed(made, secret), [old, new], NOW)
    for secrets in ([other], [], [""]):
        with pytest.raises(BadSignature):
            made.verify(BODY, signed(made, old), secrets, NOW)


@every_covering
def test_another_body_is_refused(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    for body in (BODY + b" ", BODY[:-1], b"", BODY.replace(b"1", b"2"), json.dumps(json.loads(BODY)).encode() + b"\n"):
        with pytest.raises(BadSignature):
            made.verify(body, signed(made, secret), [secret], NOW)


@every_signed
def test_messages_say_what_is_missing_and_give_nothing_away(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    with pytest.raises(BadSignature, match=r"header [a-z0-9-]+ is missing"):
        made.verify(BODY, {}, [secret], NOW)
    right = signed(made, secret)
    for missing in right:
        headers = {name: value for name, value in right.items() if name != missing}
        if needs(made, right, missing, secret):
            with pytest.raises(BadSignature, match=f"header {missing} is missing"):
                made.verify(BODY, headers, [secret], NOW)
    with pytest.raises(BadSignature) as refusal:
        made.verify(BODY + b" ", right, [made.generate_secret()], NOW)
    assert secret not in refusal.value.message
    for value in signed(made, secret, BODY + b" ").values():
        assert len(value) < 20 or value not in refusal.value.message


@every_signed
def test_the_window(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    headers = signed(made, secret)
    if made.window is None:
        made.verify(BODY, headers, [secret], NOW + 1e9)
        return
    assert made.window == 300
    for fine in (-300, 0, 300):
        made.verify(BODY, headers, [secret], NOW + fine)
    for late in (-301, 301, 1e9, -1e9):
        with pytest.raises(BadSignature, match="300 s are allowed"):
            made.verify(BODY, headers, [secret], NOW + late)


@every_signed
def test_a_changed_header_is_refused(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    right = signed(made, secret)
    for name, value in right.items():
        if not needs(made, right, name, secret):
            continue
        for wrong in (" ", value[:-4], value + "0000", value[::-1], value + ",", "=" + value, value[1:], value * 2):
            with pytest.raises(BadSignature):
                made.verify(BODY, {**right, name: wrong}, [secret], NOW)


def needs(made: SignatureScheme, headers: dict[str, str], name: str, secret: str) -> bool:
    try:
        made.verify(BODY, {key: value for key, value in headers.items() if key != name}, [secret], NOW)
    except BadSignature:
        return True
    return False


@every
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_stands_in_the_headers(scheme: type[SignatureScheme], data: st.DataObject) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    headers = signed(made, secret)
    for name in data.draw(st.sets(st.sampled_from(sorted(headers) or ["x"]), min_size=1)):
        old = headers.get(name, "")
        headers[name] = data.draw(st.sampled_from(["", old])) + data.draw(TEXT) + data.draw(st.sampled_from(["", old]))
    body = data.draw(st.binary(max_size=40))
    secrets = data.draw(st.lists(TEXT | st.just(secret), max_size=3))
    made.delivery_id(headers, body)
    with contextlib.suppress(BadSignature):
        made.verify(body, headers, secrets, NOW)


@dataclass
class Received:
    """What a receiver made of the requests that came."""

    url: str
    outcomes: list[Exception | str | None]


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Callable[[SignatureScheme, str], Received]:
    """A server that verifies what it gets, by the clock of this machine."""

    def start(made: SignatureScheme, secret: str) -> Received:
        httpserver.clear()
        lock = threading.Lock()
        received = Received(httpserver.url_for("/webhooks/1?a=b&c='d'"), [])

        def handler(request: Request) -> Response:
            headers = lower(dict(request.headers))
            outcome: Any
            try:
                made.verify(request.get_data(), headers, [secret], time.time())
                outcome = made.delivery_id(headers, request.get_data())
            except BadSignature as error:
                outcome = error
            with lock:
                received.outcomes.append(outcome)
            return Response('{"payload_id": "1", "duplicate": false}')

        httpserver.expect_request("/webhooks/1").respond_with_handler(handler)
        return received

    return start


def secrets_to_try(made: SignatureScheme) -> list[str]:
    return [made.generate_secret(), 'it\'s $HOME `id` \\ "quoted" $(id) !']


@every
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="asks for curl and openssl")
def test_the_shell_snippet_works(scheme: type[SignatureScheme], receiver: Any) -> None:
    made = scheme.from_options(scheme.example)
    for secret in secrets_to_try(made):
        received = receiver(made, secret)
        script = made.curl(received.url, secret)
        for _ in range(2):
            done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stdout) == (0, '{"payload_id": "1", "duplicate": false}'), done.stderr
        first, second = received.outcomes
        assert not isinstance(first, Exception), first
        assert first is None or first != second


@every
def test_the_python_snippet_works(scheme: type[SignatureScheme], receiver: Any) -> None:
    made = scheme.from_options(scheme.example)
    for secret in secrets_to_try(made):
        received = receiver(made, secret)
        script = made.python_snippet(received.url, secret)
        done = subprocess.run(
            [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not isinstance(received.outcomes[0], Exception), received.outcomes
        assert len(script.splitlines()) <= 8


@every
@pytest.mark.skipif(not NODE, reason="asks for Node 18 or later")
def test_the_javascript_snippet_works(scheme: type[SignatureScheme], receiver: Any) -> None:
    made = scheme.from_options(scheme.example)
    for secret in secrets_to_try(made):
        received = receiver(made, secret)
        script = made.javascript_snippet(received.url, secret)
        command = [str(NODE), "--input-type=module", "-e", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, '{"payload_id": "1", "duplicate": false}'), done.stderr
        assert not isinstance(received.outcomes[0], Exception), received.outcomes
        assert len(script.splitlines()) <= 8


@every
def test_samples_are_json_and_go_through(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    one, two = (made.sample(delivery).encode() for delivery in ("a", "b"))
    for body, delivery in ((one, "a"), (two, "b")):
        assert isinstance(json.loads(body), dict)
        made.verify(body, signed(made, secret, body, delivery), [secret], NOW)
        assert made.challenge(body) is None
    ids = [made.delivery_id(signed(made, secret, body, name), body) for body, name in ((one, "a"), (two, "b"))]
    assert ids == [None, None] or ids[0] != ids[1]


@every
def test_no_secret_is_kept_with_a_payload(scheme: type[SignatureScheme]) -> None:
    made = scheme.from_options(scheme.example)
    secret = made.generate_secret()
    kept = {n: v for n, v in signed(made, secret).items() if n not in made.secret_headers()}
    assert not made.signed or all(secret not in value for value in kept.values())
    if not made.covers_body and made.signed:
        assert made.secret_headers() & set(signed(made, secret))


def test_every_scheme_of_the_contract_is_here() -> None:
    known = {"standard_webhooks", "github", "stripe", "slack", "shopify", "hmac", "basic", "token", "none"}
    assert known <= {scheme.kind for scheme in SCHEMES}
