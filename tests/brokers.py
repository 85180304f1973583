"""A real mosquitto on the loopback, for tests; they are skipped where there is none."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.processes import free_port
from tests.waiting import wait_until

#: Debian puts it where only root looks.
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="there is no mosquitto here; script/test installs it from the system's packages"
)


class Mosquitto:
    """A broker with a folder of its own, which keeps its sessions when it is started again."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._config = folder / "mosquitto.conf"
        text = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            # Without a number it would throw messages away beyond a thousand that wait for a client.
            "max_queued_messages 0",
            "user root",
            *(lines or ("allow_anonymous true",)),
        ]
        self._config.write_text("\n".join(text) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, 20, "for mosquitto")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    @contextmanager
    def publisher(self, **login: str) -> Iterator[paho.Client]:
        """A client that is connected and has a thread of its own."""
        made = paho.Client(CallbackAPIVersion.VERSION2)
        made.max_queued_messages_set(0)
        made.max_inflight_messages_set(500)
        if login:
            made.username_pw_set(login["username"], login["password"])
        made.connect("127.0.0.1", self.port)
        made.loop_start()
        try:
            yield made
        finally:
            made.disconnect()
            made.loop_stop()

    def publish(self, messages: Sequence[tuple[str, bytes]], *, qos: int = 1, retain: bool = False) -> None:
        """Publishes messages and waits until the broker has them all."""
        with self.publisher() as client:
            for sent in [client.publish(topic, body, qos, retain) for topic, body in messages]:
                sent.wait_for_publish(30)
                assert sent.is_published()


@contextmanager
def mosquitto(folder: Path, *lines: str) -> Iterator[Mosquitto]:
    broker = Mosquitto(folder, *lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
