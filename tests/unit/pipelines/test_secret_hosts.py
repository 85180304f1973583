"""Stored secrets go to the hosts that they were given for."""

from __future__ import annotations

from typing import Any

import pytest

from dash_app.domain.errors import Invalid
from dash_app.pipelines.secret_hosts import check_hosts
from dash_app.pipelines.sinks import load_sinks
from dash_app.pipelines.sources import load_sources

HTTP = {"url": "https://api.example.org/v1", "auth": {"type": "bearer"}}
POSTGRES = {"host": "db.example.org", "database": "d", "user": "u", "query": "SELECT 1 AS a"}
AUTHORITY = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
BUCKET = {"bucket": "exports", "access_key_id": "AK"}


def refused(
    kind: str, before: dict[str, Any], given: dict[str, Any], kept: dict[str, Any], *, sink: bool = False
) -> Any:
    made = (load_sinks() if sink else load_sources())[kind].from_options({**kept, **given})
    try:
        check_hosts(made, given, kept, before)
    except Invalid as error:
        return [place for place, _ in error.problems]
    return []


@pytest.mark.parametrize(
    ("kind", "before", "change", "kept", "sink"),
    [
        ("http_poll", HTTP, {"url": "https://evil.example.org/v1"}, {"auth_secrets": {"token": "canary"}}, False),
        ("http_poll", HTTP, {"url": "http://api.example.org/v1"}, {"auth_secrets": {"token": "canary"}}, False),
        ("http_poll", HTTP, {"url": "https://api.example.org:444/"}, {"auth_secrets": {"token": "canary"}}, False),
        (
            "sse",
            {"url": "https://a.example.org/"},
            {"url": "https://b.example.org/"},
            {"bearer_token": "canary"},
            False,
        ),
        ("postgres", POSTGRES, {"host": "evil.example.org"}, {"password": "canary"}, False),
        ("postgres", POSTGRES, {"port": 6543}, {"password": "canary"}, False),
        ("postgres", POSTGRES, {"tls": "require"}, {"password": "canary"}, False),
        ("postgres", POSTGRES, {"tls": "disable"}, {"password": "canary"}, False),
        ("postgres", {**POSTGRES, "tls": "require"}, {"tls": "disable"}, {"password": "canary"}, False),
        ("postgres", POSTGRES, {"ca_certificate": AUTHORITY}, {"password": "canary"}, False),
        ("postgres", {**POSTGRES, "ca_certificate": AUTHORITY}, {"ca_certificate": ""}, {"password": "canary"}, False),
        ("s3", BUCKET, {"endpoint": "https://evil.example.org"}, {"secret_access_key": "canary"}, False),
        ("mqtt", {"url": "mqtts://a", "topics": ["#"]}, {"url": "mqtts://b"}, {"password": "canary"}, False),
        ("mqtt", {"url": "mqtts://a", "topic": "t"}, {"url": "mqtt://a"}, {"password": "canary"}, True),
        ("webhook", {"url": "https://a"}, {"url": "http://a"}, {"secret_headers": {"X": "canary"}}, True),
        ("slack", {"channel": "C1"}, {"api_url": "https://evil.example.org"}, {"token": "xoxb-canary"}, True),
        (
            *("webhook", {"url": "https://a.example.org/"}, {"url": "https://b.example.org/"}),
            *({"secret": "any-canary", "secret_headers": {"Authorization": "canary"}}, True),
        ),
    ],
)
def test_another_host_asks_for_the_secrets_again(
    kind: str, before: dict[str, Any], change: dict[str, Any], kept: dict[str, Any], sink: bool
) -> None:
    unsaid = [name for name in kept if name != "secret"]
    assert refused(kind, before, {**before, **change}, kept, sink=sink) == [f"options.{name}" for name in unsaid]
    said = {name: kept[name] for name in unsaid}
    assert refused(kind, before, {**before, **change, **said}, kept, sink=sink) == []
    assert refused(kind, before, {**before, "timeout_seconds": 9} if sink else before, kept, sink=sink) == []


def test_a_secret_that_is_said_elsewhere_or_only_signs_may_go() -> None:
    other = {**HTTP, "url": "https://b.example.org/", "auth": {"type": "bearer", "token": "new-canary"}}
    assert refused("http_poll", HTTP, other, {"auth_secrets": {"token": "canary"}}) == []
    signing = {"secret": "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5"}
    assert (
        refused("webhook", {"url": "https://a.example.org/"}, {"url": "https://b.example.org/"}, signing, sink=True)
        == []
    )
    # What the port is unless it is said is no other port.
    assert refused("postgres", POSTGRES, {**POSTGRES, "port": 5432}, {"password": "canary"}) == []
    # A connection that is protected better than before is no reason to ask.
    assert refused("postgres", {**POSTGRES, "tls": "disable"}, POSTGRES, {"password": "canary"}) == []


def test_a_mail_server_gets_no_password_in_the_clear() -> None:
    mail = {"host": "smtp.example.org", "username": "u", "from": "a@example.org", "to": ["b@example.org"]}
    with pytest.raises(Invalid) as error:
        load_sinks()["email"].from_options({**mail, "security": "none", "password": "canary"})
    assert [place for place, _ in error.value.problems] == ["options.security"]
