"""One process that delivers, with a clock: what of the workers the short form of the sinks' torture needs."""

from __future__ import annotations

import os
import sys
import threading

from dash_app.app import App
from dash_app.pipelines.delivery.deliver import QUEUE_THREADS
from dash_app.pipelines.schedule import Clock
from dash_app.pipelines.tasks import DELIVER, Queues
from dash_app.settings import Settings
from dash_app.storage import ledger


def main() -> int:
    settings = Settings.load([], os.environ, program="worker")
    assert settings.database_url is not None
    app = App.open(settings, settings.database_url, name="deliverer")
    queues = Queues(app)
    threading.Thread(target=Clock(app).run, args=(threading.Event(),), daemon=True).start()
    with app.database.ingest() as unit:
        ledger.beat(unit, app.node, "worker.deliver", {})
        unit.commit()
    try:
        queues.consumer(DELIVER, QUEUE_THREADS).run()
    finally:
        queues.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
