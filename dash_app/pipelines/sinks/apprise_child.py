"""The process that apprise runs in, started by `apprise_process`: it speaks to services, and may do nothing else.

Apprise's hundred plugins connect by themselves, so the guard sits below all of them. Names are resolved by the parent
alone (it is asked over the pipe, and answers with addresses that may be reached), and an audit hook, which nothing in
the process can take away again, lets connections through to those addresses only; no program is started, no file
written, and none read but Python's own. The environment is empty: there is no secret but the URL that is given.

Run by its path, so that nothing of Dash is imported. One JSON document a line: in come jobs and answers to questions,
out go questions (`{"resolve": [host, port]}`) and results (`{"sent": …, "said": […], "refused": "", "service": ""}`).
"""

from __future__ import annotations

import base64
import json
import logging
import os
import resource
import socket
import sys
import threading
from typing import Any, NoReturn

#: Bytes of memory, open files, and seconds of processor of one such process.
MEMORY = 1 << 30
FILES = 128
CPU = 300
#: The largest file that goes along, in bytes; in memory, since none can be written.
LARGEST = 32 << 20
MOST_SAID, MOST_LINE = 20, 400

_INET = {4: socket.AF_INET, 6: socket.AF_INET6}
#: What no plugin has to do for a message, by the names of audit events.
_FORBIDDEN = (
    *("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.", "ctypes.dlopen"),
    *("socket.bind", "socket.getaddrinfo", "socket.gethostby", "socket.getnameinfo", "socket.sethostname"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown"),
    *("os.truncate", "shutil.", "os.putenv", "sys.addaudithook", "syslog.", "ftplib.", "webbrowser."),
)


class Channel:
    """The pipe to the parent."""

    def __init__(self, read: int, write: int) -> None:
        self._in = os.fdopen(read, "rb")
        self._out = os.fdopen(write, "wb")
        self._lock = threading.RLock()

    def receive(self) -> dict[str, Any] | None:
        line = self._in.readline()
        return json.loads(line) if line else None

    def send(self, document: dict[str, Any]) -> None:
        self._out.write(json.dumps(document).encode() + b"\n")
        self._out.flush()

    def ask(self, host: str, port: int) -> dict[str, Any]:
        with self._lock:
            self.send({"resolve": [host, port]})
            return self.receive() or {"refused": "no answer"}


class Guard:
    """What may be connected to: addresses that the parent has named for this job."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._allowed: set[tuple[str, int]] = set()
        self._kept: dict[str, int] = {}
        self.refused = ""
        self._prefixes = tuple(
            os.path.realpath(path) + os.sep
            for path in {sys.prefix, sys.base_prefix, *sys.path, "/usr/share/zoneinfo", "/usr/lib/python3"}
            if path and os.path.isdir(path) and os.path.realpath(path) != "/"
        )

    def begin(self) -> None:
        self._allowed.clear()
        for place in self._kept.values():
            os.close(place)
        self._kept.clear()
        self.refused = ""

    def keep(self, name: str, data: bytes) -> str:
        """A file that goes along, in memory: its path, which plugins may read from."""
        place = os.memfd_create("attachment")
        self._kept[f"/proc/self/fd/{place}"] = place
        with os.fdopen(os.dup(place), "wb") as file:
            file.write(data)
        return f"/proc/self/fd/{place}"

    def install(self) -> None:
        plain = socket.socket.connect

        def connect(one: socket.socket, address: Any) -> None:
            if isinstance(address, tuple) and (str(address[0]), address[1]) not in self._allowed:
                address = self.resolve(address[0], address[1], one.family)[0][4]
            plain(one, address)

        socket.getaddrinfo = self.resolve
        socket.socket.connect = connect  # type: ignore[method-assign,assignment]
        sys.addaudithook(self.look)

    def resolve(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[Any, ...]]:
        """In place of `socket.getaddrinfo`."""
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "localhost")
        number = int(port or 0)
        said = self._channel.ask(name, number)
        if "addresses" not in said:
            self.refused = self.refused or str(said.get("refused", ""))
            raise socket.gaierror(socket.EAI_FAIL, "not to be reached")
        found: list[tuple[Any, ...]] = []
        for address in said["addresses"]:
            version = 6 if ":" in address else 4
            self._allowed.add((address, number))
            if family in (0, _INET[version]):
                place = (address, number, 0, 0) if version == 6 else (address, number)
                found.append((_INET[version], type or socket.SOCK_STREAM, proto or 6, "", place))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address of this family")
        return found

    def look(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook."""
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            address = args[1]
            if not isinstance(address, tuple) or (str(address[0]), address[1]) not in self._allowed:
                self._refuse("an address that was not asked for")
        elif event == "open":
            self._open(*args)
        elif event.startswith(_FORBIDDEN):
            self._refuse(event)

    def _open(self, path: Any, mode: Any, flags: int) -> None:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        if isinstance(path, int):
            return
        if os.fsdecode(path) in self._kept and not writes:
            return
        real = os.path.realpath(os.fsdecode(path))
        if writes or not real.startswith(self._prefixes):
            self._refuse("a file of this machine")

    def _refuse(self, what: str) -> NoReturn:
        self.refused = self.refused or f"this service asks for what messages may not do: {what}"
        raise PermissionError(13, "not allowed")


class Said(logging.Handler):
    """What plugins have to say of what went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < MOST_SAID:
            self.lines.append(" ".join(record.getMessage().split())[:MOST_LINE])


def main() -> None:
    # What a plugin prints must not be read as an answer.
    read, write = os.dup(0), os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)
    channel = Channel(read, write)
    import mimetypes

    import apprise
    from apprise import Apprise, AppriseAsset
    from apprise.attachment.file import AttachFile

    mimetypes.init()
    apprise.NotificationManager().load_modules()  # type: ignore[no-untyped-call]
    said = Said()
    logger = logging.getLogger("apprise")
    logger.handlers[:] = [said]
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
    guard = Guard(channel)
    guard.install()
    channel.send({"ready": True})
    while (job := channel.receive()) is not None:
        guard.begin()
        said.lines.clear()
        result: dict[str, Any] = {"sent": False, "service": ""}
        try:
            asset = AppriseAsset(http_redirects=False, async_mode=False, interpret_emojis=False, app_id="Dash")
            asset.app_desc, asset.app_url = "Dash", ""
            plugin = Apprise.instantiate(job["url"], asset=asset)
            if plugin is None:
                result["unknown"] = True
            else:
                result["service"] = str(plugin.service_name)
                plugin.verify_certificate = True
                outgoing = Apprise(asset=asset)
                outgoing.add(plugin)
                files = [
                    AttachFile(  # type: ignore[no-untyped-call]
                        guard.keep(one["name"], base64.b64decode(one["data"])),
                        name=one["name"],
                        mimetype=one["content_type"],
                    )
                    for one in job["files"]
                ]
                result["sent"] = bool(
                    outgoing.notify(
                        body=job["body"],
                        title=job["title"],
                        notify_type=job["type"],
                        body_format="text",
                        attach=files if files and plugin.attachment_support else None,
                        interpret_escapes=False,
                    )
                )
        except BaseException as error:
            # The process goes on; what a plugin raises is its answer.
            result["broke"] = f"{type(error).__name__}"
        channel.send({**result, "said": said.lines, "refused": guard.refused})


if __name__ == "__main__":
    main()
