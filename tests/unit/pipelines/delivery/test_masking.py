"""Nobody reads a secret in what is shown of an attempt, however the other side or the way there has written it."""

from __future__ import annotations

import base64
import json

import pytest

from dash_app.pipelines.delivery.masking import MASK, masked, words

SECRET = 'canary-7/"+wörd'
HIDDEN = words([{"password": SECRET}])


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("user", ["u", "ab", "dash", "a longer name"])
def test_a_login_by_name_and_password_is_masked_whole(user: str) -> None:
    login = b64(f"{user}:{SECRET}")
    assert masked(f"authorization: Basic {login}\nx: y", HIDDEN) == f"authorization: Basic {MASK}\nx: y"
    assert masked(f"Authorization=Basic+{login.rstrip('=')}", HIDDEN) == f"Authorization=Basic+{MASK}"
    # Where it is not said to be one: nothing is left of which the secret could be made again.
    left = masked(f'{{"seen": "{login}"}}', HIDDEN)
    assert MASK in left
    assert len(left) < len(f'{{"seen": "{MASK}"}}') + len(b64(f"{user}:")) + 4


@pytest.mark.parametrize("length", range(4, len(SECRET)))
def test_a_secret_that_was_cut_is_masked(length: int) -> None:
    begun = SECRET[:length]
    for after in ("", "…", "… (4,711 bytes)", "\nserver: x", "\r\n\r\nok"):
        assert masked(f"token={begun}{after}", HIDDEN) == f"token={MASK}{after}"
    assert masked(f"x-{b64('dash:' + begun)}", HIDDEN).count("Y2FuYX") <= 1
    assert masked(f"Authorization: Basic {b64('dash:' + begun)}", HIDDEN) == f"Authorization: Basic {MASK}"
    # In the middle of a line nothing was cut.
    assert masked(f"{begun}? yes", HIDDEN) == f"{begun}? yes"


def test_a_secret_is_masked_as_json_and_python_write_it() -> None:
    for shape in (json.dumps(SECRET), json.dumps(SECRET, ensure_ascii=False), repr(SECRET)):
        assert masked(f"said {shape}!", HIDDEN) == f"said {shape[0]}{MASK}{shape[-1]}!"


def test_a_secret_header_that_is_a_login_hides_the_password_in_it() -> None:
    hidden = words([{"Authorization": f"Basic {b64('dash:swordfish')}"}])
    assert masked("no swordfish, no " + b64("dash:swordfish"), hidden) == f"no {MASK}, no {MASK}"


def test_other_texts_are_left_as_they_are() -> None:
    text = f"POST /hook\nauthorization: Basic {b64('dash:marlin')}\n\n{b64('a picture of a bird' * 20)}\ncanal"
    assert masked(text, HIDDEN) == text
    assert masked(f"token={SECRET}", ()) == f"token={SECRET}"
