"""One try of an HTTP poll: a real request, and everything that can be told of its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx

from dash_app.domain.errors import DashError, Permanent
from dash_app.domain.plain_text import storable
from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.asking import Plan, ask, content_of, content_type_of, document_of, records_of, url_of
from dash_app.pipelines.sources.fetching import Fetched, HttpPollError, without_secret_bytes, without_secrets
from dash_app.pipelines.sources.http_poll import HttpPoll
from dash_app.pipelines.sources.incremental import Mark
from dash_app.pipelines.sources.oauth import Tokens
from dash_app.pipelines.sources.pagination import Answer, detect
from dash_app.pipelines.sources.resolving import first_child
from dash_app.pipelines.trials.tried import MAX_RECORDS, MAX_TEXT, FieldFound, Pagination, Trial, propose, showable

#: The longest that one waits for an answer that is only looked at, in seconds.
TIMEOUT = 20.0

#: Headers of an answer that are its server's secrets.
_SECRET = frozenset({"set-cookie", "set-cookie2", "proxy-authenticate", "authorization", "www-authenticate"})


class HttpTrial:
    """One try of an HTTP poll."""

    def __init__(self, source: HttpPoll, client: httpx.Client) -> None:
        self.source = source
        self.client = client
        self.now = datetime.now(UTC)
        self.tokens = Tokens()
        self.problems: list[tuple[str, str]] = []
        self.secrets = [*source.secret_headers.values(), *source.auth_secrets.values()]

    def made(self) -> Trial:
        parents: int | None = None
        plan: Plan | None
        try:
            family = self.source.family(self.tokens)
            if family is None:
                plan = self.source.plan(self.tokens)
            else:
                family = replace(family, listing=replace(family.listing, timeout=min(family.listing.timeout, TIMEOUT)))
                child, parents = first_child(family, self.client, self.now)
                plan = family.plan_of(child) if child is not None else None
        except DashError as error:
            return replace(
                self._failed(error, "options.resolve"), method="GET", url=(self.source.resolve or {}).get("url", "")
            )
        if plan is None:
            trouble = ("options.resolve", "no record of the listing's first page has a value for every name in fields")
            return Trial(False, (trouble,), parents=0)
        plan = replace(plan, timeout=min(plan.timeout, TIMEOUT))
        self.secrets = [*plan.secrets]
        return replace(self._asked(plan), method=plan.method, parents=parents)

    def _asked(self, plan: Plan) -> Trial:
        position, mark = plan.paginator.first(), plan.incremental.start() if plan.incremental else Mark()
        url = url_of(plan, position, mark)
        began = time.monotonic()
        try:
            fetched = ask(plan, url, content_of(plan, position, mark), self.client, self.now)
        except DashError as error:
            return replace(self._failed(error, "answer"), url=str(url), seconds=time.monotonic() - began)
        seconds = time.monotonic() - began
        trial = replace(self._shown(fetched, content_type_of(plan, fetched.headers)), url=str(url), seconds=seconds)
        body = fetched.body or b""
        if fetched.ignored:
            self.problems.append(("options.response_actions", "this answer is ignored: nothing of it would be stored"))
        elif not body.strip():
            self.problems.append(("answer", "the body is empty: nothing would be stored"))
        else:
            trial = self._looked_into(trial, plan, fetched, body)
        return replace(trial, ok=not self.problems, problems=tuple(self.problems))

    def _looked_into(self, trial: Trial, plan: Plan, fetched: Fetched, body: bytes) -> Trial:
        """With the records of an answer, how its pages follow each other, and what would be proposed for them."""
        # From here on nobody knows the secrets, whatever is made of the body.
        body = without_secret_bytes(body, self.secrets)
        headers = {name.lower(): value for name, value in fetched.headers.items()}
        proposed = propose(body, trial.content_type, headers, self.secrets)
        if proposed.mapping is None:
            self.problems.append(("mapping", "no record can be made of this answer without a mapping written by hand"))
        selector = (proposed.mapping or {}).get("records", "").removesuffix("[*]")
        records: list[Any] | None = None
        document: Any = None
        try:
            document = document_of(body, trial.content_type)
            records = records_of(plan, document, trial.content_type).records
            if records is None and plan.selector is None and selector and not isinstance(document, list):
                records = selecting.records(document, selecting.parse(selector))
        except ValueError as error:
            self.problems.append(("answer", f"it cannot be read: {without_secrets(str(error), self.secrets)}"))
        if document is not None and plan.selector is not None and records is None:
            hint = f"; the records seem to be at {selector}" if selector else ""
            self.problems.append(("options.data_selector", f"leads nowhere in this answer{hint}"))
        elif not records and document is not None and plan.selector is not None:
            self.problems.append(("options.data_selector", "leads to no record in this answer"))
        if plan.incremental is not None and records:
            path = selecting.parse(plan.incremental.cursor_path)
            if all(selecting.first(record, path) is None for record in records):
                trouble = f"is in none of the {len(records)} records of this answer"
                self.problems.append(("options.incremental.cursor_path", trouble))
        pagination = self._pagination(plan, fetched, document, None if records is None else len(records))
        return replace(
            trial,
            pagination=pagination,
            selector="" if plan.selector is not None and records else selector,
            count=None if records is None else len(records),
            records=self._masked_records(records or []),
            mapping=showable(proposed.mapping),
            note=storable(proposed.note),
            fields=tuple(FieldFound(*(storable(part) for part in astuple(one))) for one in proposed.fields),
        )

    def _masked_records(self, records: list[Any]) -> list[Any]:
        return [showable(_masked(record, self.secrets)) for record in records[:MAX_RECORDS]]

    def _pagination(self, plan: Plan, fetched: Fetched, document: Any, count: int | None) -> Pagination | None:
        answer = Answer(fetched.url, fetched.headers, document, count)
        own = type(plan.paginator).kind
        seen = None
        with suppress(httpx.InvalidURL, ValueError, Permanent):
            seen = detect(answer)
            follows = plan.paginator.following(plan.paginator.first(), answer) is not None
            if follows and own != "auto":
                return Pagination(dict(self.source.paginator), f"as {own} says, there is a next page", True)
        if seen is None:
            return None
        return Pagination(seen.paginator, seen.why, own == "auto")

    def _failed(self, error: DashError, place: str) -> Trial:
        message = without_secrets(error.message, self.secrets)
        trial = Trial(False, ((place, message),))
        if isinstance(error, HttpPollError) and error.seen is not None:
            seen = error.seen
            trial = replace(self._shown(seen, seen.headers.get("content-type", "")), problems=((place, message),))
        return trial

    def _shown(self, fetched: Fetched, content_type: str) -> Trial:
        """What the server said."""
        body = fetched.body or b""
        text = body[:MAX_TEXT].decode("utf-8", "ignore" if len(body) > MAX_TEXT else "replace")
        known = fetched.status in set(HTTPStatus)
        return Trial(
            ok=False,
            status=fetched.status,
            reason=HTTPStatus(fetched.status).phrase if known else "",
            headers={
                name.lower(): without_secrets(value, self.secrets)
                for name, value in fetched.headers.items()
                if name.lower() not in _SECRET
            },
            content_type=content_type,
            size=len(body),
            text=without_secrets(text, self.secrets).replace("\0", "\ufffd"),
            cut=len(body) > MAX_TEXT,
        )


def _masked(value: Any, secrets: Sequence[str]) -> Any:
    """A record without what must not be shown."""
    if isinstance(value, str):
        return without_secrets(value, secrets)
    if isinstance(value, Mapping):
        return {without_secrets(str(name), secrets): _masked(one, secrets) for name, one in value.items()}
    return [_masked(one, secrets) for one in value] if isinstance(value, list) else value
