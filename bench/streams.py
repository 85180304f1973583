"""Streams: an MQTT stream at QoS 1 through a real mosquitto, whose owner is killed again and again.

Two workers with a process of streams each; a sender that publishes numbers at a steady rate; every few seconds the
process that owns the stream gets SIGKILL, and is started anew by its worker. At the end every number must have been
stored: `missing` is 0, `doubles` is what came twice. `seconds_to_connect` and `seconds_to_store`: from a kill until
another process is connected, and until it has stored something.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any
from uuid import UUID

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench._ground import Ground, free_port
from dash_app.pipelines import setup

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
TOPIC = "count"


def start_broker(ground: Ground) -> int:
    """A mosquitto that keeps whatever waits for a client; its port."""
    assert MOSQUITTO is not None
    port = free_port()
    config = ground.folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n")
    ground.processes["mosquitto"] = subprocess.Popen(
        [MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    return port


class Sender(threading.Thread):
    """Publishes 0, 1, 2 … at QoS 1, so many a second, until told to end."""

    def __init__(self, port: int, rate: float) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self._rate = rate
        self._ended = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(500)
        deadline = time.monotonic() + 20
        while True:
            try:
                self._client.connect("127.0.0.1", port)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._client.loop_start()

    def run(self) -> None:
        began, last = time.monotonic(), None
        while not self._ended.wait(0.01):
            due = int((time.monotonic() - began) * self._rate)
            while self.sent < due:
                last = self._client.publish(TOPIC, str(self.sent).encode(), 1)
                self.sent += 1
        if last is not None:
            last.wait_for_publish(30)

    def end(self) -> None:
        self._ended.set()
        self.join()
        self._client.disconnect()
        self._client.loop_stop()


def stored(ground: Ground, pipeline: UUID) -> list[int]:
    """The numbers that were stored, in their order."""
    bodies = ground.rows(
        "SELECT convert_from(body, 'UTF8') FROM payloads WHERE pipeline_id = %s ORDER BY id", (pipeline,)
    )
    return [json.loads(line)["data"] for (body,) in bodies for line in body.splitlines()]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with Ground(environ={"DASH_ALLOWED_NETWORKS": "127.0.0.0/8"}) as ground:
        result: dict[str, Any] = {"figure": "streams", "kills": options.kills, "rate": options.rate}
        result |= {"protocol": options.protocol, "machine": ground.machine()}
        port = start_broker(ground)
        source = {"url": f"mqtt://127.0.0.1:{port}", "topics": [TOPIC], "protocol": options.protocol}
        with ground.app.database.team(ground.team) as unit:
            document = {"name": "Count", "slug": "count", "source": {"kind": "mqtt", "options": source}}
            made, _ = setup.create_pipeline(unit, ground.app, ground.team, document, "bench")
            unit.commit()
        for name in ("one", "two"):
            ground.start(name, "worker.py", "--workers", "1")

        def look() -> tuple[int, str, str, int]:
            rows = ground.rows(
                "SELECT term, state, owner, messages FROM stream_state WHERE pipeline_id = %s", (made.id,)
            )
            return rows[0] if rows else (0, "", "", 0)

        def others() -> int:
            return int(
                ground.value(
                    "SELECT count(*) FROM heartbeats WHERE role = 'worker.streams' AND seen_at > now() - interval '5 s'"
                )
            )

        ground.wait_for(lambda: look()[1] == "connected" and others() > 1, 60)
        sender = Sender(port, options.rate)
        sender.start()
        connected, first = [], []
        for _ in range(options.kills):
            time.sleep(options.every)
            ground.wait_for(lambda: look()[1] == "connected" and others() > 1, 60)
            term, _, owner, messages = look()
            killed = time.monotonic()
            os.kill(int(owner.rpartition(":")[2]), signal.SIGKILL)
            while not (look()[0] > term and look()[1] == "connected"):
                time.sleep(0.005)
            connected.append(round(time.monotonic() - killed, 2))
            while look()[3] <= messages:
                time.sleep(0.005)
            first.append(round(time.monotonic() - killed, 2))
        sender.end()
        deadline = time.monotonic() + 60
        while len(set(found := stored(ground, made.id))) < sender.sent and time.monotonic() < deadline:
            time.sleep(0.25)
        return result | {
            "sent": sender.sent,
            "missing": len(set(range(sender.sent)) - set(found)),
            "doubles": len(found) - len(set(found)),
            "seconds_to_connect": connected,
            "seconds_to_store": first,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--every", type=float, default=2, help="seconds between two kills")
    parser.add_argument("--rate", type=float, default=1000, help="messages a second")
    parser.add_argument("--protocol", choices=["5", "3.1.1"], default="5")
    parser.add_argument("--full", action="store_true", help="ten kills")
    options = parser.parse_args()
    if options.full:
        options.kills = 10
    if MOSQUITTO is None:
        print("streams: needs mosquitto, which is not installed here", file=sys.stderr)
        return 1
    result = measure(options)
    print(json.dumps(result), flush=True)
    print(
        f"{result['missing']} of {result['sent']} missing, {result['doubles']} twice; "
        f"taken over after {max(result['seconds_to_store'])} s at most",
        file=sys.stderr,
    )
    return 0 if not result["missing"] and max(result["seconds_to_store"]) <= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
