"""The webhook source: its own options and its scheme's, in one document."""

from __future__ import annotations

import jsonschema
import pytest

from dash_app.domain.errors import Invalid
from dash_app.pipelines.sources import load_schemes, load_sources
from dash_app.pipelines.sources.webhook import Webhook, senders


def problems(options: dict[str, object]) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        Webhook.from_options(options)
    return dict(error.value.problems)


def test_standard_webhooks_is_the_default_and_none_is_not() -> None:
    made = Webhook.from_options({})
    assert made.signature.kind == "standard_webhooks"
    assert made.max_bytes == 10 * 1024 * 1024
    assert made.to_options() == {"scheme": "standard_webhooks"}


def test_the_schemes_options_stand_beside_the_sources() -> None:
    options = {"scheme": "hmac", "header": "x-sig", "encoding": "base64", "max_bytes": 1000}
    made = Webhook.from_options(options)
    assert (made.signature.header, made.signature.encoding, made.max_bytes) == ("x-sig", "base64", 1000)
    assert made.to_options() == options
    assert Webhook.from_options(made.to_options()).to_options() == options


def test_problems_name_the_option() -> None:
    assert problems({"scheme": "sha"}) == {
        "options.scheme": "'sha' is unknown; there are basic, github, hmac, none, shopify, slack, standard_webhooks, "
        "stripe, token"
    }
    assert list(problems({"scheme": "hmac", "hash": "md5", "max_bytes": 0, "foo": 1})) == [
        "options.max_bytes",
        "options.foo",
        "options.hash",
    ]
    assert problems({"scheme": "github", "header": "x"})["options.header"].startswith("github has no such option")
    assert list(problems({"scheme": None})) == ["options.scheme"]
    assert list(problems({"scheme": ["hmac"]})) == ["options.scheme"]
    assert list(problems({"signature": "x"})) == ["options.signature"]


@pytest.mark.parametrize(
    ("options", "fine"),
    [
        ({}, True),
        ({"scheme": "hmac", "header": "x"}, True),
        ({"header": "x"}, False),
        ({"scheme": "github", "header": "x"}, False),
        ({"scheme": "hmac", "hash": "md5"}, False),
        ({"scheme": "other"}, False),
        ({"max_bytes": 0}, False),
    ],
)
def test_the_schema_says_what_the_parser_says(options: dict[str, object], fine: bool) -> None:
    schema = Webhook.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(options) is fine
    if fine:
        Webhook.from_options(options)
    else:
        problems(options)


def test_options_of_two_webhooks_do_not_mix() -> None:
    one, two = Webhook.from_options({"scheme": "hmac", "header": "x-one"}), Webhook.from_options({"scheme": "hmac"})
    assert (one.signature.header, two.signature.header) == ("x-one", "x-webhook-signature")


def test_forms_can_ask_which_options_go_with_a_scheme() -> None:
    own = {"scheme", "max_bytes", "allowed_senders", "rate_limit", "verify_token", "allowed_origins"}
    assert set(Webhook.own_options()) == own
    assert "header" in Webhook.scheme_options("hmac")
    assert Webhook.scheme_options("github") == {}
    assert set(Webhook.options()) >= {"scheme", "max_bytes", "header", "delivery_path"}


def test_loading_finds_one_file_a_kind() -> None:
    assert {"http_poll", "webhook"} <= set(load_sources().names())
    assert {"standard_webhooks", "github", "hmac", "none"} <= set(load_schemes().names())
    assert load_sources() is load_sources()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"allowed_senders": ["192.0.2.1/24"]}, "allowed_senders[0]"),
        ({"allowed_senders": ["192.0.2.0/24", "example.org"]}, "allowed_senders[1]"),
        ({"allowed_senders": [7]}, "allowed_senders[0]"),
        ({"allowed_senders": "192.0.2.0/24"}, "allowed_senders"),
        ({"allowed_senders": ["192.0.2.1"] * 501}, "allowed_senders"),
        ({"allowed_origins": [""]}, "allowed_origins[0]"),
        ({"rate_limit": -1}, "rate_limit"),
        ({"rate_limit": "many"}, "rate_limit"),
        ({"verify_token": " x"}, "verify_token"),
        ({"verify_token": 7}, "verify_token"),
        ({"scheme": "hmac", "delivery_window_hours": 193}, "delivery_window_hours"),
        ({"scheme": "github", "delivery_window_hours": 1}, "delivery_window_hours"),
    ],
)
def test_who_may_send_and_how_much_is_checked(options: dict[str, object], named: str) -> None:
    assert list(problems(options)) == [f"options.{named}"]


def test_a_wrong_network_is_told_the_right_one() -> None:
    assert (
        "the network is 192.0.2.0/24" in problems({"allowed_senders": ["192.0.2.7/24"]})["options.allowed_senders[0]"]
    )


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.1", False),
        ("2001:db8::1", True),
        ("2001:db8::1%eth0", True),
        ("2001:db9::1", False),
        ("198.51.100.4", True),
        ("", False),
        ("/run/dash.sock", False),
        ("192.0.2.7, 198.51.100.9", False),
    ],
)
def test_addresses_that_may_send(address: str, fits: bool) -> None:
    networks = senders.parse(["192.0.2.0/24", "2001:db8::/32", "198.51.100.4"])
    assert senders.allows(networks, address) is fits


def test_defaults_of_a_scheme_stand_under_its_condition() -> None:
    then = {each["if"]["properties"]["scheme"]["const"]: each["then"] for each in Webhook.json_schema()["allOf"]}
    assert then["slack"]["properties"]["delivery_path"]["default"] == "$.event_id"
    assert then["shopify"]["properties"]["delivery_header"]["default"] == "X-Shopify-Webhook-Id"
    assert then["hmac"]["properties"]["delivery_path"]["default"] == ""
    assert Webhook.from_options({"scheme": "slack", "delivery_path": ""}).to_options() == {
        "scheme": "slack",
        "delivery_path": "",
    }
