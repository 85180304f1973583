"""Where a log-in may lead, how addresses are counted, and what problems say."""

from __future__ import annotations

import json
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Forbidden, Invalid, NotFound, Unauthorized, Unavailable
from dash_app.storage.objects import ObjectMissing
from dash_app.web.access import network_of
from dash_app.web.login import local_path
from dash_app.web.problems import encode, problem_of


@pytest.mark.parametrize("path", ["/", "/pipelines", "/pipelines/1?tab=live&x=%2F%2Fa", "/a//b", "/logbook", "/ü"])
def test_paths_of_this_host_are_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "",
        "//evil",
        "/\\evil",
        "\\evil",
        "https://evil",
        "javascript:alert(1)",
        "/\t//evil",
        "/ /evil",
        "/a\nb",
        "/login",
        "/logout?x",
        "x",
    ],
)
def test_what_could_lead_elsewhere_or_in_circles_leads_home(wanted: str | None) -> None:
    assert local_path(wanted) == "/"


@given(st.text(max_size=40) | st.from_regex(r"[/\\]{0,3}[a-z./\\@:]{0,10}", fullmatch=True))
def test_no_text_leads_to_another_host(wanted: str) -> None:
    # Browsers read a backslash as a slash and drop tabs and line ends.
    kept = local_path(wanted).replace("\\", "/").replace("\t", "").replace("\n", "").replace("\r", "")
    assert urlsplit(urljoin("http://here/login", kept)).netloc == "here"


def test_a_household_of_addresses_counts_as_one() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::9") != network_of("2001:db8:1:3::4")
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("") == ""


def test_problems_tell_callers_their_own_faults_and_none_of_ours() -> None:
    document, _ = problem_of(Invalid(problems=[("a.b", "is wrong")]), "r")
    assert document["errors"] == [{"place": "a.b", "message": "is wrong"}]
    assert document["status"] == 422
    assert "request_id" not in document
    assert problem_of(Forbidden("not yours"), "r")[0]["detail"] == "not yours"
    assert problem_of(Unauthorized(), "r")[1]["WWW-Authenticate"].startswith("Bearer")
    for error in (RuntimeError("hunter2"), Unavailable("host db-7 hunter2"), ObjectMissing("folder hunter2")):
        document, _ = problem_of(error, "r-1")
        assert "hunter2" not in json.dumps(document)
        assert document["request_id"] == "r-1"
        assert document["status"] >= 500
    assert problem_of(Unavailable(retry_after=2.1), "r")[1]["Retry-After"] == "3"


def test_everything_that_is_not_there_says_the_same() -> None:
    one, other = problem_of(NotFound("no pipeline 'secret_plans'"), "r-1"), problem_of(NotFound("no token"), "r-2")
    assert encode(one[0]) == encode(other[0])
    assert one[1] == other[1]
