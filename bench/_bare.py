"""What P2 is measured against: a Tornado handler with the group commit, trigger and ledger, and no Dash around them.

It checks the signature of the body and answers after the commit, and does nothing else: no routing by pipeline, no
limits, no metrics, no headers kept. Arguments: port, pipeline id, team id, secret; the database's URL is in
DASH_DATABASE_URL.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import sys
from uuid import UUID

import tornado.web

from dash_app.domain.events import Arrival
from dash_app.storage.engine import Database
from dash_app.storage.payloads import GroupCommit


class Bare(tornado.web.RequestHandler):
    def initialize(self, commits: GroupCommit, pipeline: UUID, team: UUID, key: bytes) -> None:
        self._commits, self._pipeline, self._team, self._key = commits, pipeline, team, key

    async def post(self) -> None:
        body, headers = self.request.body, self.request.headers
        given = headers.get("X-Hub-Signature-256", "")
        if not hmac.compare_digest(given, "sha256=" + hmac.new(self._key, body, hashlib.sha256).hexdigest()):
            self.set_status(401)
            return
        arrival = Arrival(self._pipeline, self._team, body, delivery=headers.get("X-GitHub-Delivery"))
        accepted = await asyncio.wrap_future(self._commits.submit(arrival))
        self.finish({"payload_id": str(accepted.payload), "duplicate": accepted.duplicate})


async def main(port: int, pipeline: UUID, team: UUID, secret: str) -> None:
    commits = GroupCommit(Database(os.environ["DASH_DATABASE_URL"]))
    options = {"commits": commits, "pipeline": pipeline, "team": team, "key": secret.encode()}
    application = tornado.web.Application(
        [(r"/webhooks/.*", Bare, options), (r"/livez", Alive)], log_function=lambda _: None
    )
    application.listen(port, "127.0.0.1")
    await asyncio.Event().wait()


class Alive(tornado.web.RequestHandler):
    def get(self) -> None:
        self.finish("ok")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), UUID(sys.argv[2]), UUID(sys.argv[3]), sys.argv[4]))
