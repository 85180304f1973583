"""Each scheme against the signer or the published example of those who defined it, and many ways to be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook as Signer

from dash_app.domain.errors import BadSignature, Invalid
from dash_app.pipelines.sources import SignatureScheme, load_schemes

NOW = 1_700_000_000.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def scheme(name: str, **options: object) -> SignatureScheme:
    return load_schemes()[name].from_options(options)


def refusal(made: SignatureScheme, body: bytes, headers: dict[str, str], secrets: list[str], now: float = NOW) -> str:
    with pytest.raises(BadSignature) as error:
        made.verify(body, headers, secrets, now)
    assert error.value.status == 401
    return error.value.message


# Standard Webhooks


def signed(body: bytes = BODY, secret: str = SECRET, at: float = NOW, delivery: str = "msg_1") -> dict[str, str]:
    signature = Signer(secret).sign(delivery, datetime.fromtimestamp(at, UTC), body.decode())
    return {"webhook-id": delivery, "webhook-timestamp": str(int(at)), "webhook-signature": signature}


def test_standard_webhooks_accepts_its_own_signer() -> None:
    made = scheme("standard_webhooks")
    made.verify(BODY, signed(), [SECRET], NOW)
    assert made.delivery_id(signed(), BODY) == "msg_1"


def test_standard_webhooks_is_accepted_by_its_own_verifier() -> None:
    made, now = scheme("standard_webhooks"), datetime.now(UTC).timestamp()
    secret = made.generate_secret()
    Signer(secret).verify(BODY, made.sign(BODY, secret, "msg_1", now))


def test_standard_webhooks_published_vector() -> None:
    # From the specification's reference libraries.
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    scheme("standard_webhooks").verify(b'{"test": 2432232314}', headers, [SECRET], 1614265330)


def test_a_secret_without_prefix_is_its_own_bytes() -> None:
    made = scheme("standard_webhooks")
    mac = hmac.new(b"plain secret", b"d.%d." % NOW + BODY, hashlib.sha256).digest()
    headers = {
        "webhook-id": "d",
        "webhook-timestamp": str(int(NOW)),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
    made.verify(BODY, headers, ["plain secret"], NOW)


def test_one_good_signature_among_several_is_enough() -> None:
    made, headers = scheme("standard_webhooks"), signed()
    other = signed(secret="whsec_" + base64.b64encode(b"another").decode())["webhook-signature"]
    headers["webhook-signature"] = f"v1a,AAAA {other} v1,not-base64! v1 , {headers['webhook-signature']} v2,x"
    made.verify(BODY, headers, [SECRET], NOW)
    headers["webhook-signature"] = f"v1a,AAAA {other}"
    assert refusal(made, BODY, headers, [SECRET]) == "signature does not fit"


@pytest.mark.parametrize("age", [300, -300, 0])
def test_inside_the_window(age: int) -> None:
    scheme("standard_webhooks").verify(BODY, signed(at=NOW - age), [SECRET], NOW)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"webhook-id": None}, "header webhook-id is missing"),
        ({"webhook-id": "  "}, "header webhook-id is missing"),
        ({"webhook-signature": None}, "header webhook-signature is missing"),
        ({"webhook-timestamp": None}, "header webhook-timestamp is missing"),
        ({"webhook-id": "msg_2"}, "signature does not fit"),
        ({"webhook-id": "msg_é"}, "header webhook-id is not plain ASCII"),
        ({"webhook-id": "msg\x00"}, "header webhook-id is not plain ASCII"),
        ({"webhook-timestamp": str(int(NOW) - 1)}, "signature does not fit"),
        ({"webhook-timestamp": str(int(NOW) - 4000)}, "timestamp is 4000 s old; 300 s are allowed"),
        ({"webhook-timestamp": str(int(NOW) + 301)}, "timestamp is 301 s in the future; 300 s are allowed"),
        ({"webhook-timestamp": "soon"}, "header webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "1e9"}, "header webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "-1"}, "header webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "9" * 5000}, "header webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "nan"}, "header webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "١٧٠٠٠٠٠٠٠٠"}, "header webhook-timestamp is not plain ASCII"),
        ({"webhook-signature": "v1"}, "header webhook-signature holds no v1 signature"),
        ({"webhook-signature": "v1,"}, "header webhook-signature holds no v1 signature"),
        ({"webhook-signature": "v1,====="}, "header webhook-signature holds no v1 signature"),
        ({"webhook-signature": "v1a,AAAA"}, "header webhook-signature holds no v1 signature"),
        ({"webhook-signature": "v1,AAAA"}, "signature does not fit"),
        ({"webhook-signature": "v1,\udcff"}, "header webhook-signature is not plain ASCII"),
    ],
)
def test_standard_webhooks_names_what_is_wrong(changed: dict[str, str | None], message: str) -> None:
    headers = {name: value for name, value in {**signed(), **changed}.items() if value is not None}
    assert refusal(scheme("standard_webhooks"), BODY, headers, [SECRET]) == message


def test_an_unusable_secret_fits_nothing() -> None:
    # The key of an empty secret would be known to all.
    made = scheme("standard_webhooks")
    nothing = base64.b64encode(hmac.new(b"", b"d.%d." % NOW + BODY, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "d", "webhook-timestamp": str(int(NOW)), "webhook-signature": "v1," + nothing}
    for secret in ("", "whsec_", "whsec_!!!", "whsec_A"):
        assert refusal(made, BODY, headers, [secret]) == "signature does not fit"
        with pytest.raises(Invalid, match="secret"):
            made.check_secret(secret)
    assert refusal(made, BODY, headers, []) == "signature does not fit"
    made.check_secret(SECRET)
    made.check_secret("whsec_" + base64.b64encode(b"a" * 32).decode().rstrip("="))


# GitHub


def test_github_published_example() -> None:
    # docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    made, secret = scheme("github"), "It's a Secret to Everybody"
    headers = {
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    }
    made.verify(b"Hello, World!", headers, [secret], NOW)
    assert made.sign(b"Hello, World!", secret, "d", NOW)["X-Hub-Signature-256"] == headers["x-hub-signature-256"]
    assert made.delivery_id(headers, b"Hello, World!") == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert refusal(made, b"Hello, World?", headers, [secret]) == "signature does not fit"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "header x-hub-signature-256 is missing"),
        ("", "header x-hub-signature-256 is missing"),
        ("sha1=aa", "header x-hub-signature-256 does not begin with sha256="),
        ("757107ea", "header x-hub-signature-256 does not begin with sha256="),
        ("sha256=", "signature does not fit"),
        ("sha256=aa", "signature does not fit"),
        ("sha256=xyz", "header x-hub-signature-256 is not hexadecimal"),
        ("sha256=ä", "header x-hub-signature-256 is not plain ASCII"),
    ],
)
def test_github_names_what_is_wrong(value: str | None, message: str) -> None:
    headers = {} if value is None else {"x-hub-signature-256": value}
    assert refusal(scheme("github"), b"Hello, World!", headers, ["It's a Secret to Everybody"]) == message


def test_a_secret_of_github_with_whsec_is_still_its_own_bytes() -> None:
    mac = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    scheme("github").verify(BODY, {"x-hub-signature-256": "sha256=" + mac}, [SECRET], NOW)


# HMAC


@pytest.mark.parametrize("hash_name", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sha=", "Signature "])
def test_hmac_in_every_form(hash_name: str, encoding: str, prefix: str) -> None:
    made = scheme("hmac", header="X-Sig", hash=hash_name, encoding=encoding, prefix=prefix)
    raw = hmac.new(b"s3cret", BODY, hash_name).digest()
    text = raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()
    made.verify(BODY, {"x-sig": prefix + text}, ["s3cret"], NOW)
    assert made.sign(BODY, "s3cret", "d", NOW) == {"X-Sig": prefix + text}
    assert refusal(made, BODY + b" ", {"x-sig": prefix + text}, ["s3cret"]) == "signature does not fit"
    assert refusal(made, BODY, {"x-sig": prefix + "!"}, ["s3cret"]) == f"header x-sig is not {encoding}"
    assert refusal(made, BODY, {"x-webhook-signature": text}, ["s3cret"]) == "header x-sig is missing"


def test_hmac_by_default() -> None:
    made = scheme("hmac")
    made.verify(BODY, {"x-webhook-signature": hmac.new(b"k", BODY, hashlib.sha256).hexdigest()}, ["k"], NOW)
    assert made.delivery_id({"x-webhook-signature": "x", "x-delivery": "1"}, BODY) is None


def test_hmac_without_its_prefix() -> None:
    made = scheme("hmac", prefix="sha256=")
    mac = hmac.new(b"k", BODY, hashlib.sha256).hexdigest()
    assert "does not begin with sha256=" in refusal(made, BODY, {"x-webhook-signature": mac}, ["k"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"header": ""}, "header"),
        ({"header": "x y"}, "header"),
        ({"header": "x`id`"}, "header"),
        ({"header": "x$(id)"}, "header"),
        ({"header": "x\r\ny"}, "header"),
        ({"prefix": '"; id; "'}, "prefix"),
        ({"prefix": "$(id)"}, "prefix"),
        ({"prefix": "a\nb"}, "prefix"),
        ({"hash": "md5"}, "hash"),
        ({"encoding": "binary"}, "encoding"),
        ({"delivery_header": "a:b"}, "delivery_header"),
        ({"delivery_path": "$..id"}, "delivery_path"),
        ({"delivery_path": 3}, "delivery_path"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_hmac_options_that_are_wrong(options: dict[str, object], named: str) -> None:
    with pytest.raises(Invalid) as error:
        scheme("hmac", **options)
    assert [where for where, _ in error.value.problems] == [f"options.{named}"]


# Delivery ids of one's choice


@pytest.mark.parametrize("name", ["hmac", "none"])
def test_delivery_by_header(name: str) -> None:
    made = scheme(name, delivery_header="X-Delivery")
    assert made.delivery_id({"x-delivery": " 42 "}, b"{}") == "42"
    assert made.delivery_id({"x-delivery": ""}, b"{}") is None
    assert made.delivery_id({}, b"{}") is None


@pytest.mark.parametrize(
    ("body", "delivery"),
    [
        (b'{"event": {"id": "e1"}}', "e1"),
        (b'{"event": {"id": 7}}', "7"),
        (b'{"event": {"id": 123456789012345678901}}', "123456789012345678901"),
        (b'{"event": {"id": 123456789012345678902}}', "123456789012345678902"),
        (b'{"event": {"id": 1.50}}', "1.50"),
        (b'{"event": {"id": null}}', None),
        (b'{"event": {"id": true}}', None),
        (b'{"event": {"id": {}}}', None),
        (b'{"event": {"id": ""}}', None),
        (b'{"event": []}', None),
        (b"[1]", None),
        (b"not json", None),
        (b"\xff\xfe", None),
        (b"", None),
        (b"[" * 100_000, None),
        (b'{"event": {"id": ' + b"9" * 5000 + b"}}", "sha256:" + hashlib.sha256(b"9" * 5000).hexdigest()),
        (b'{"event": {"id": "a\\u0000b"}}', "sha256:" + hashlib.sha256(b"a\0b").hexdigest()),
        ('{"event": {"id": "é"}}'.encode(), "sha256:" + hashlib.sha256("é".encode()).hexdigest()),
        (b'{"event": {"id": "\\ud800"}}', "sha256:" + hashlib.sha256(b"\xed\xa0\x80").hexdigest()),
    ],
)
def test_delivery_by_path(body: bytes, delivery: str | None) -> None:
    assert scheme("none", delivery_path="$.event.id").delivery_id({}, body) == delivery


def test_the_header_is_asked_before_the_path() -> None:
    made = scheme("hmac", delivery_header="x-id", delivery_path="$.id")
    assert made.delivery_id({"x-id": "h"}, b'{"id": "p"}') == "h"
    assert made.delivery_id({}, b'{"id": "p"}') == "p"


@pytest.mark.parametrize(("name", "header"), [("standard_webhooks", "webhook-id"), ("github", "x-github-delivery")])
def test_long_delivery_ids_are_kept_by_their_hash(name: str, header: str) -> None:
    long = "x" * 5000
    assert scheme(name).delivery_id({header: long}, b"") == "sha256:" + hashlib.sha256(long.encode()).hexdigest()
    assert scheme(name).delivery_id({header: "x" * 200}, b"") == "x" * 200


def test_none_checks_nothing_and_says_so() -> None:
    made = scheme("none")
    made.verify(b"anything", {}, [], NOW)
    assert made.signed is False
    assert made.generate_secret() == ""
