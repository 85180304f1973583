"""Many viewers in one process: raw sockets that speak just enough WebSocket, so that they cost little of the machine.

Started by `p6_viewers`. It opens the sockets, subscribes each to one topic, says `ready` when all have their snapshot,
and notes for each update how long after its commit (`at` of the frame) it was read from its socket. A line on the
standard input begins the counting, another ends it, and one JSON line says what was found.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import select
import socket
import struct
import sys
import time
from array import array

from dash_app import open_files

_AT = re.compile(rb'"at":(\d+)')
#: Handshakes under way at once.
_AT_ONCE = 100
#: Seconds between two looks at the sockets; what is measured is that much longer at most.
_NAP = 0.004


class Viewer:
    __slots__ = ("held", "seq", "socket", "state")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.held = b""
        self.state = "greeting"
        self.seq = -1


def masked(message: dict[str, object]) -> bytes:
    data = json.dumps(message).encode()
    mask = os.urandom(4)
    body = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
    head = struct.pack("!BB", 0x81, 0x80 | len(data)) if len(data) < 126 else struct.pack("!BBH", 0x81, 0xFE, len(data))
    return head + mask + body


def frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole frames of what was read, and the rest."""
    found, at = [], 0
    while len(data) - at >= 2:
        length, head = data[at + 1], 2
        if length == 126:
            if len(data) - at < 4:
                break
            (length,), head = struct.unpack_from("!H", data, at + 2), 4
        elif length == 127:
            if len(data) - at < 10:
                break
            (length,), head = struct.unpack_from("!Q", data, at + 2), 10
        if len(data) - at < head + length:
            break
        found.append(data[at + head : at + head + length])
        at += head + length
    return found, data[at:]


class Crowd:
    def __init__(self, port: int, token: str, request: dict[str, object]) -> None:
        self._port = port
        self._hello = (
            f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        self._subscribe = masked({"op": "subscribe", "id": "t", **request})
        self._epoll = select.epoll()
        self._viewers: dict[int, Viewer] = {}
        self.watching = 0
        self.closed = 0
        self.gaps = 0
        self.counting = False
        self.latencies = array("d")
        self._known: dict[bytes, tuple[int, int]] = {}

    def open(self, count: int, seconds: float) -> None:
        """Opens the sockets, a few at a time; RuntimeError where they do not all watch in time."""
        deadline = time.monotonic() + seconds
        opened = 0
        while self.watching < count:
            while opened < count and opened - self.watching < _AT_ONCE:
                sock = socket.create_connection(("127.0.0.1", self._port), timeout=20)
                sock.setblocking(False)
                sock.send(self._hello)
                self._viewers[sock.fileno()] = Viewer(sock)
                self._epoll.register(sock, select.EPOLLIN)
                opened += 1
            self.turn(0.5)
            if self.closed or time.monotonic() > deadline:
                raise RuntimeError(f"{self.watching} of {count} watch, {self.closed} were closed")

    def turn(self, patience: float) -> None:
        for number, _ in self._epoll.poll(patience, 4096):
            viewer = self._viewers[number]
            try:
                data = viewer.socket.recv(8192)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            now = time.time()
            if not data:
                self.closed += 1
                self._epoll.unregister(number)
                viewer.socket.close()
                continue
            if viewer.state == "watching" and not viewer.held and data in self._known:
                self._note(viewer, *self._known[data], now)
                continue
            self._read(viewer, data, now)

    def _read(self, viewer: Viewer, data: bytes, now: float) -> None:
        data = viewer.held + data
        if viewer.state == "greeting":
            end = data.find(b"\r\n\r\n")
            if end < 0:
                viewer.held = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(data[:200].decode(errors="replace"))
            viewer.socket.send(self._subscribe)
            viewer.state, data = "asking", data[end + 4 :]
        whole, viewer.held = frames(data)
        for text in whole:
            if b'"kind":"update"' in text and (at := _AT.search(text)):
                seq = int(text.split(b'"seq":', 1)[1].split(b",", 1)[0])
                if len(whole) == 1 and not viewer.held:
                    # The next thousands read the very same bytes.
                    if len(self._known) > 50:
                        self._known.clear()
                    self._known[data] = (seq, int(at[1]))
                self._note(viewer, seq, int(at[1]), now)
            elif b'"kind":"snapshot"' in text and viewer.state != "watching":
                viewer.state = "watching"
                viewer.seq = int(text.split(b'"seq":', 1)[1].split(b",", 1)[0])
                self.watching += 1
            elif b'"error"' in text:
                raise RuntimeError(text[:200].decode(errors="replace"))

    def _note(self, viewer: Viewer, seq: int, at: int, now: float) -> None:
        if seq != viewer.seq + 1:
            self.gaps += 1
        viewer.seq = seq
        if self.counting:
            self.latencies.append(now * 1000 - at)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--request", required=True, help="what each subscribes to, as JSON")
    options = parser.parse_args()
    open_files.raise_limit()
    crowd = Crowd(options.port, options.token, json.loads(options.request))
    crowd.open(options.count, 30 + options.count / 50)
    print("ready", flush=True)
    began = 0.0
    lines = 0
    waiting = select.poll()
    waiting.register(sys.stdin, select.POLLIN)
    while lines < 2:
        # Whoever waits in epoll is woken for every frame, and the sender pays for it; viewers elsewhere cost nothing.
        time.sleep(_NAP)
        crowd.turn(0)
        if waiting.poll(0):
            sys.stdin.readline()
            lines += 1
            if lines == 1:
                began, crowd.counting = time.process_time(), True
    used = time.process_time() - began
    latencies = sorted(crowd.latencies)
    quantiles = {f"p{q}_ms": round(latencies[min(len(latencies) - 1, len(latencies) * q // 100)], 1)
                 for q in (50, 90, 99)} if latencies else {}  # fmt: skip
    found = {
        "frames": len(latencies), **quantiles, "max_ms": round(latencies[-1], 1) if latencies else None,
        "closed": crowd.closed, "gaps": crowd.gaps, "cpu_s": round(used, 2),
    }  # fmt: skip
    print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
