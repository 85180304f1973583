"""How the two object stores behave when something goes wrong."""

from __future__ import annotations

import errno
import io
import itertools
import os
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from dash_app.domain.errors import SettingsError
from dash_app.storage import objects as module
from dash_app.storage.objects import (
    Folder,
    ObjectDamaged,
    ObjectDiffers,
    ObjectMissing,
    ObjectsRefused,
    ObjectsUnavailable,
    open_objects,
)
from dash_app.storage.s3 import S3

_numbers = itertools.count(1)


# The folder ----------------------------------------------------------------------------------------------------------


def test_a_put_is_on_the_disk_before_it_has_its_name_and_its_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, link = os.fsync, os.link

    def noted_fsync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        events.append("sync file" if path.name.endswith(".partial") else f"sync {path.relative_to(tmp_path)}")
        fsync(handle)

    def noted_link(source: Path, target: Path) -> None:
        events.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)

    Folder(tmp_path / "root").put("a/b", b"x")

    assert events == ["sync .", "sync root", "sync file", "link", "sync root/a"]


def test_a_put_cut_short_leaves_nothing_under_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", crash)
        # As if the process were gone: it does not tidy up after itself.
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Crash):
            folder.put("a/b", b"x")

    assert folder.head("a/b") is None
    assert list(folder.list()) == []
    (left,) = (tmp_path / "a").iterdir()
    now = datetime.now(UTC)
    assert folder.tidy(now - timedelta(hours=1)) == 0
    assert left.exists()
    assert folder.tidy(now + timedelta(hours=1)) == 1
    assert not left.exists()
    folder.put("a/b", b"x")
    assert folder.get("a/b") == b"x"


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ObjectsUnavailable, match="No space left"):
            Folder(tmp_path).put("k", b"x")

    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_keeps_something_else_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_write", lambda path, data: path.write_bytes(data[:-1]))

    with pytest.raises(ObjectDamaged):
        Folder(tmp_path).put("k", b"four")

    assert list(Folder(tmp_path).list()) == []


@pytest.mark.parametrize("links", [True, False])
def test_of_many_writers_of_one_key_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def none(*_: object) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", none)
    contents = [f"writer {n}".encode() for n in range(16)]
    barrier = threading.Barrier(len(contents))

    def write(data: bytes) -> bool:
        barrier.wait()
        try:
            Folder(tmp_path).put("a/k", data)
        except ObjectDiffers:
            return False
        return True

    with ThreadPoolExecutor(len(contents)) as pool:
        won = [data for data, success in zip(contents, pool.map(write, contents), strict=True) if success]

    assert len(won) == 1
    assert Folder(tmp_path).get("a/k") == won[0]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["k"]


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = Folder(tmp_path / "file" / "bronze")

    with pytest.raises(ObjectsRefused, match="DASH_BRONZE_URL"):
        folder.check()
    with pytest.raises(ObjectsRefused, match="DASH_BRONZE_URL"):
        folder.put("k", b"x")


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(ObjectsRefused, match="cannot read and write"):
        Folder(tmp_path).check()


@pytest.mark.parametrize("url", ["", "bronze", "file://host/folder", "file:///", "s3://", "https://example.org/x"])
def test_urls_that_are_no_place_for_bronze(url: str) -> None:
    with pytest.raises(SettingsError, match="DASH_BRONZE_URL"):
        open_objects(url)


def test_a_url_with_escapes_is_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "with space é"
    open_objects(path.as_uri()).put("k", b"x")

    assert (path / "k").read_bytes() == b"x"


# S3 ------------------------------------------------------------------------------------------------------------------

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Fault = Callable[[Wsgi, dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Faulty:
    """moto's S3, whose next answers to a method can be made to fail, and whose every answer can be changed."""

    def __init__(self) -> None:
        self.moto: Wsgi = DomainDispatcherApplication(create_backend_app)
        self.faults: list[tuple[str, Fault]] = []
        self.always: Fault | None = None
        self.requests: list[str] = []
        self.over = threading.Event()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.requests.append(method)
        for number, (wanted, fault) in enumerate(self.faults):
            if wanted == method:
                del self.faults[number]
                return fault(self.moto, environ, start)
        return self.always(self.moto, environ, start) if self.always else self.moto(environ, start)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Faulty, str]]:
    faulty = Faulty()
    server = make_server("127.0.0.1", 0, faulty, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield faulty, f"http://127.0.0.1:{server.server_port}"
    faulty.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Store:
    def __init__(self, faulty: Faulty, endpoint: str, bucket: str, direct: Any) -> None:
        self.faulty = faulty
        self.endpoint = endpoint
        self.bucket = bucket
        self.pauses: list[float] = []
        self.s3 = S3(bucket, "p", endpoint, attempts=4, pause=self.pauses.append, read_timeout=0.3)
        self.direct = direct

    def stored(self, key: str = "p/k") -> bytes:
        body: bytes = self.direct.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body


@pytest.fixture(scope="module")
def direct(server: tuple[Faulty, str]) -> Any:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client("s3", endpoint_url=server[1], region_name="us-east-1", **keys)


@pytest.fixture
def store(server: tuple[Faulty, str], direct: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    faulty, endpoint = server
    faulty.faults, faulty.always, faulty.requests = [], None, []
    made = Store(faulty, endpoint, f"faults-{next(_numbers)}", direct)
    made.direct.create_bucket(Bucket=made.bucket)
    faulty.requests.clear()
    return made


def answers(status: str, code: str) -> Fault:
    def fault(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{code}</Code><Message>said so</Message></Error>".encode()
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return fault


def _done(moto: Wsgi, environ: dict[str, Any]) -> None:
    """The request's work without its answer."""
    list(moto(environ, lambda *_: None))


def answers_too_late(faulty: Faulty) -> Fault:
    def fault(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        _done(moto, environ)
        faulty.over.wait(10)
        start("500 Late", [("Content-Length", "0")])
        return []

    return fault


def breaks_off_after(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    _done(moto, environ)
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


def sends_half(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    seen: list[Any] = []
    body = b"".join(moto(environ, lambda *given: seen.extend(given)))
    start(*seen)
    half = iter([body[: len(body) // 2]])

    def stream() -> Iterator[bytes]:
        yield next(half)
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    return stream()


def keeps(change: Callable[[bytes], bytes], *, echo: bool = True) -> Fault:
    """Puts store something else than was sent."""

    def fault(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            data = change(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            environ["wsgi.input"] = io.BytesIO(data)
            environ["CONTENT_LENGTH"] = str(len(data))
        return moto(environ, start if echo else _without_checksum(start))

    return fault


def _without_checksum(start: Callable[..., Any]) -> Callable[..., Any]:
    def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start(status, [(n, v) for n, v in headers if "checksum" not in n.lower()], *rest)

    return started


def knows_no_conditions(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "PUT" and "HTTP_IF_NONE_MATCH" in environ:
        return answers("501 Not Implemented", "NotImplemented")(moto, environ, start)
    return moto(environ, start)


def ignores_conditions(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    environ.pop("HTTP_IF_NONE_MATCH", None)
    return moto(environ, start)


def test_a_put_is_conditional_and_carries_its_checksum(store: Store) -> None:
    seen: list[dict[str, Any]] = []

    def look(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(dict(environ))
        return moto(environ, start)

    store.faulty.faults = [("PUT", look)]
    store.s3.put("k", b"data")

    (put,) = seen
    digest = sha256(b"data")
    assert put["HTTP_IF_NONE_MATCH"] == "*"
    assert put["HTTP_X_AMZ_CHECKSUM_SHA256"] == b64encode(digest.digest()).decode()
    assert put["HTTP_X_AMZ_META_SHA256"] == digest.hexdigest()
    assert "HTTP_X_AMZ_ACL" not in put
    assert put["PATH_INFO"] == f"/{store.bucket}/p/k"


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
@pytest.mark.parametrize(
    "fault",
    [
        answers("500 Internal Server Error", "InternalError"),
        answers("503 Slow Down", "SlowDown"),
        answers("409 Conflict", "ConditionalRequestConflict"),
        answers("429 Too Many Requests", "TooManyRequests"),
        breaks_off_after,
    ],
)
def test_a_put_survives_what_passes(store: Store, method: str, fault: Fault) -> None:
    store.faulty.faults = [(method, fault), (method, fault)]

    assert store.s3.put("k", b"data") == sha256(b"data").hexdigest()

    assert store.stored() == b"data"
    assert 1 <= len(store.pauses) <= 2
    assert all(0 <= pause <= 0.8 for pause in store.pauses)


def test_a_put_that_got_through_but_was_not_answered_is_a_success(store: Store) -> None:
    store.faulty.faults = [("PUT", answers_too_late(store.faulty))]

    store.s3.put("k", b"data")

    assert store.stored() == b"data"
    assert store.faulty.requests.count("PUT") == 1, "the second attempt finds the first one's object"


def test_a_condition_that_fails_between_look_and_put(store: Store) -> None:
    def meanwhile(data: bytes) -> Fault:
        def fault(moto: Wsgi, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            store.direct.put_object(Bucket=store.bucket, Key=f"p/{data.decode()}", Body=data)
            return moto(environ, start)

        return fault

    store.faulty.faults = [("PUT", meanwhile(b"same"))]
    store.s3.put("same", b"same")
    store.faulty.faults = [("PUT", meanwhile(b"taken"))]
    with pytest.raises(ObjectDiffers):
        store.s3.put("taken", b"mine!")
    assert store.stored("p/taken") == b"taken"


def test_a_store_that_stays_down_is_unavailable(store: Store) -> None:
    store.faulty.always = answers("503 Slow Down", "SlowDown")

    for call in (lambda: store.s3.put("k", b"x"), lambda: store.s3.get("k"), lambda: list(store.s3.list())):
        store.pauses.clear()
        with pytest.raises(ObjectsUnavailable, match="503"):
            call()
        assert len(store.pauses) == 3


def test_readiness_asks_once(store: Store) -> None:
    store.s3.check()
    store.faulty.requests.clear()
    store.faulty.always = answers("500 Internal Server Error", "InternalError")

    with pytest.raises(ObjectsUnavailable):
        store.s3.check()

    assert len(store.faulty.requests) == 1
    assert store.pauses == []


def test_an_answer_that_breaks_off_is_read_again(store: Store) -> None:
    store.s3.put("k", b"0123456789" * 1000)
    store.faulty.faults = [("GET", sends_half), ("GET", sends_half)]

    assert store.s3.get("k") == b"0123456789" * 1000
    assert len(store.pauses) == 2


def test_an_answer_that_always_breaks_off_is_an_error_and_no_data(store: Store) -> None:
    store.s3.put("k", b"0123456789" * 1000)
    store.faulty.always = sends_half

    with pytest.raises(ObjectsUnavailable):
        store.s3.get("k", 10, 9000)


def test_a_truncated_upload_is_noticed(store: Store) -> None:
    store.faulty.faults = [("PUT", keeps(lambda data: data[:-1]))]

    with pytest.raises(ObjectDamaged):
        store.s3.put("k", b"0123456789")


def test_without_an_echoed_checksum_the_object_is_read_back(store: Store) -> None:
    store.faulty.always = keeps(lambda data: data, echo=False)
    store.s3.put("right", b"0123456789")
    store.faulty.always = keeps(lambda data: data[:-1] + b"X", echo=False)

    with pytest.raises(ObjectDiffers):
        store.s3.put("wrong", b"0123456789")


def test_bytes_that_changed_in_the_store_are_noticed(store: Store) -> None:
    store.direct.put_object(
        Bucket=store.bucket, Key="p/k", Body=b"rotten", Metadata={"sha256": sha256(b"fresh!").hexdigest()}
    )

    with pytest.raises(ObjectDamaged):
        store.s3.get("k")


def test_a_service_without_conditions_still_replaces_nothing(store: Store) -> None:
    store.faulty.always = knows_no_conditions

    store.s3.put("k", b"first")
    store.s3.put("k", b"first")
    with pytest.raises(ObjectDiffers):
        store.s3.put("k", b"other")
    store.s3.put("another", b"x")

    assert store.stored() == b"first"


def test_a_service_that_ignores_conditions_still_replaces_nothing(store: Store) -> None:
    store.faulty.always = ignores_conditions

    store.s3.put("k", b"first")
    with pytest.raises(ObjectDiffers):
        store.s3.put("k", b"other")

    assert store.stored() == b"first"


def test_a_long_listing_comes_in_pages(store: Store) -> None:
    keys = [f"k{n}" for n in range(7)]
    for key in keys:
        store.direct.put_object(Bucket=store.bucket, Key=f"p/{key}", Body=b"x")
    store.direct.put_object(Bucket=store.bucket, Key="pp/outside", Body=b"x")
    store.s3._client.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 3}
    )
    store.faulty.requests.clear()

    assert [head.key for head in store.s3.list()] == keys
    assert len(store.faulty.requests) == 3


def test_a_bucket_that_is_not_there(store: Store) -> None:
    absent = S3("absent-bucket", "p", store.endpoint, pause=store.pauses.append)

    for call in (absent.check, lambda: list(absent.list()), lambda: absent.put("k", b"x")):
        with pytest.raises(ObjectsRefused, match="absent-bucket"):
            call()
    assert store.pauses == []


def test_access_denied_names_the_setting_and_no_secret(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-thing")
    s3 = S3(store.bucket, "p", store.endpoint, pause=store.pauses.append)
    store.faulty.always = answers("403 Forbidden", "AccessDenied")

    with pytest.raises(ObjectsRefused, match="AWS_ACCESS_KEY_ID") as caught:
        s3.check()

    assert "very-secret-thing" not in str(caught.value)
    assert store.pauses == []


def test_no_credentials(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    with pytest.raises(ObjectsRefused, match="AWS_ACCESS_KEY_ID"):
        S3(store.bucket, "p", store.endpoint).check()


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        s3 = S3("b", "", f"http://127.0.0.1:{taken.getsockname()[1]}", attempts=2, pause=store.pauses.append)
        with pytest.raises(ObjectsUnavailable):
            s3.get("k")
    assert len(store.pauses) == 1


def test_a_missing_object_is_not_asked_for_twice(store: Store) -> None:
    with pytest.raises(ObjectMissing):
        store.s3.get("absent")
    assert store.faulty.requests == ["GET"]
