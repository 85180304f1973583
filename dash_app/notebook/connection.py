"""A connection to a node: its API, asked with a token, with errors that say what to do."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import polars as pl

from dash_app.domain.errors import DashError
from dash_app.notebook.views import LiveView

ARROW = "application/vnd.apache.arrow.stream"
#: A query is given ten seconds by the server.
_PATIENCE = httpx.Timeout(30, connect=5)


class NotebookError(DashError):
    """Dash could not answer."""


def connect(url: str, token: str) -> Connection:
    """A connection to the node at `url`, as whoever the token stands for.

    Raises NotebookError where nobody answers there, somebody else does, or the token is none.
    """
    given = urlsplit(url if "://" in url else f"http://{url}")
    if given.scheme not in ("http", "https") or not given.netloc:
        raise NotebookError(f"'{url}' is no address of a node; such as http://127.0.0.1:5006")
    if not token:
        raise NotebookError("a token is needed; dash-app token create --email … --name notebook makes one")
    made = Connection(f"{given.scheme}://{given.netloc}{given.path.rstrip('/')}", token)
    try:
        made.check()
    except NotebookError:
        made.close()
        raise
    return made


class Connection:
    """Made by `connect`. Printing it shows where and who, and never the token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.who = ""
        self._client = httpx.Client(
            base_url=f"{url}/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=_PATIENCE
        )

    def __repr__(self) -> str:
        return f"<Dash at {self.url}{f' as {self.who}' if self.who else ''}>"

    def __getstate__(self) -> Any:
        raise TypeError("a connection holds a token and cannot be stored; connect anew")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection. What is shown in cells goes on."""
        self._client.close()

    def check(self) -> None:
        """Nothing, or NotebookError where the node cannot be reached or does not know the token."""
        person = self._json("GET", "session").get("user")
        if not isinstance(person, Mapping):
            raise NotebookError(f"what answers at {self.url} is not Dash, or an older one")
        self.who = str(person.get("email", ""))

    # -- data

    def query(self, document: Mapping[str, Any] | None = None, /, **more: Any) -> pl.DataFrame:
        """The answer to a query document (`docs/query.md`) as a frame; `from` is also taken as `from_`.

        Times are UTC, with microseconds; json fields are text. A frame that the limit has cut off comes with a warning.
        """
        asked = dict(document or {}) | {name.rstrip("_"): value for name, value in more.items()}
        answer = self._ask("POST", "query", json=asked, headers={"Accept": ARROW})
        if answer.headers.get("X-Truncated") == "true":
            warnings.warn("there are more rows than the query's limit; set limit, up to 100,000", stacklevel=2)
        return pl.read_ipc_stream(answer.content)

    def pipelines(self) -> pl.DataFrame:
        """The team's pipelines: slug, name, state, kind of source, version of the mapping."""
        rows = [
            {
                "slug": one["slug"],
                "name": one["name"],
                "state": one["state"],
                "source": (one.get("source") or {}).get("kind"),
                "mapping_version": one.get("mapping_version"),
            }
            for one in self._all("pipelines")
        ]
        return pl.DataFrame(
            rows,
            schema={
                "slug": pl.String,
                "name": pl.String,
                "state": pl.String,
                "source": pl.String,
                "mapping_version": pl.Int64,
            },
        )

    def dashboards(self) -> pl.DataFrame:
        """The team's dashboards: uid, title, when changed last."""
        rows = [{name: one.get(name) for name in ("uid", "title", "updated_at")} for one in self._all("dashboards")]
        frame = pl.DataFrame(rows, schema=dict.fromkeys(("uid", "title", "updated_at"), pl.String))
        return frame.with_columns(pl.col("updated_at").str.to_datetime("%+", time_unit="us", time_zone="UTC"))

    # -- what is alive in a cell

    def dashboard(self, uid: str, *, height: int = 640, minutes: int = 60) -> LiveView:
        """A dashboard, alive for so many minutes once it is shown: the last expression of a cell, or in Panel."""
        self._check_dashboard(uid, None)
        return LiveView(f"dashboard '{uid}'", height, lambda: self._embed(uid, None, minutes))

    def tile(self, uid: str, tile: str | int, *, height: int = 320, minutes: int = 60) -> LiveView:
        """One tile of a dashboard; as `dashboard`."""
        self._check_dashboard(uid, tile)
        return LiveView(f"tile {tile} of dashboard '{uid}'", height, lambda: self._embed(uid, tile, minutes))

    def _embed(self, uid: str, tile: str | int | None, minutes: int) -> str:
        wanted: dict[str, Any] = {"dashboard": uid, "minutes": minutes} | ({} if tile is None else {"tile": tile})
        made = self._json("POST", "embeds", json=wanted)
        # Under the name by which this notebook reaches the node, whatever the node takes for its own.
        address = urlsplit(str(made["url"]))
        return f"{self.url}{address.path}?{address.query}"

    def _check_dashboard(self, uid: str, tile: str | int | None) -> None:
        known = {str(one["uid"]) for one in self._all("dashboards")}
        if uid not in known:
            raise NotebookError(f"there is no dashboard '{uid}'; there are: {', '.join(sorted(known)) or 'none yet'}")
        if tile is not None:
            document = self._json("GET", f"dashboards/{uid}")["dashboard"]
            tiles = [str(one.get("id")) for one in document.get("tiles", ())]
            if str(tile) not in tiles:
                raise NotebookError(f"dashboard '{uid}' has no tile {tile}; there are: {', '.join(tiles) or 'none'}")

    # -- asking

    def _all(self, resource: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            asked = {"limit": 1000} | ({"cursor": cursor} if cursor else {})
            page = self._json("GET", resource, params=asked)
            found += page.get("items", [])
            cursor = page.get("next")
            if not cursor:
                return found

    def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = self._ask(method, path, **more)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NotebookError(f"what answers at {self.url} is not Dash: it sent {_kind(answer)}")
        return found

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.ConnectError as error:
            raise NotebookError(
                f"nothing answers at {self.url} ({error}); is the server running, and is the address right?"
            ) from None
        except httpx.TimeoutException:
            raise NotebookError(f"the server at {self.url} did not answer in time; try again") from None
        except httpx.HTTPError as error:
            raise NotebookError(f"the connection to {self.url} broke off: {error}") from None
        if answer.is_success:
            return answer
        raise NotebookError(self._refusal(answer))

    def _refusal(self, answer: httpx.Response) -> str:
        """An error's answer as one message: what, and each place with what would be right there."""
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "title" not in problem:
            return f"what answers at {self.url} is not Dash: status {answer.status_code}, {_kind(answer)}"
        if answer.status_code == 401:
            return "the token is not known, or was revoked; dash-app token create makes another"
        places = [f"{one['place']}: {one['message']}" for one in problem.get("errors", ())]
        return "; ".join(places) or f"{problem['title']}: {problem.get('detail', '')}"


def _kind(answer: httpx.Response) -> str:
    return answer.headers.get("Content-Type", "nothing that says what it is").split(";")[0]
