"""Objects in an S3 bucket, or in a service that speaks S3 (R2, MinIO and the like).

A put is conditional (`If-None-Match: *`) and carries its SHA-256. Amazon S3, R2 and MinIO keep the condition; an older
service may answer 501, and then the object is put plainly after a look that the key is free, and read back. The look
comes first in any case: it saves the upload when an earlier attempt had got through, and covers a service that ignores
the condition as far as one writer a key goes, which is all that bronze has. Where the answer does not repeat the
checksum, the object is read back too. Retries are made here and not by the library, which does not know of a body that
breaks off while it is read.
"""

from __future__ import annotations

import random
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)

from dash_app.storage.object_store import (
    Head,
    ObjectDamaged,
    ObjectDiffers,
    ObjectMissing,
    ObjectsRefused,
    ObjectsUnavailable,
    check_key,
)

T = TypeVar("T")

_ATTEMPTS = 5
_FIRST_PAUSE = 0.2  # seconds, doubled with each attempt, of which a random part is waited
_LONGEST_PAUSE = 10.0
#: Answers below 500 that pass: throttling, a conflict with a writer at the same moment, a clock that is off.
_PASSING = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestTimeTooSkewed"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403", "401"}


class S3:
    """Objects under `prefix` in `bucket`. `attempts` and `pause` (seconds → None) are how it retries."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        *,
        attempts: int = _ATTEMPTS,
        pause: Callable[[float], None] = time.sleep,
        connect_timeout: float = 5,
        read_timeout: float = 30,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._attempts = attempts
        self._pause = pause
        #: The service knows neither conditions nor checksums.
        self._plain = False
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                max_pool_connections=16,
                retries={"total_max_attempts": 1, "mode": "standard"},
                # A bucket's own host name needs a wildcard in the service's DNS, which most of one's own lack.
                s3={"addressing_style": "path" if endpoint else "auto"},
                # Trailing checksums that nobody asked for are refused by many services.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def __repr__(self) -> str:
        return f"S3({self._bucket!r}, {self._prefix!r})"

    def put(self, key: str, data: bytes) -> str:
        name = self._name(key)
        digest = sha256(data)
        self._patiently(lambda: self._put(name, data, digest.digest()))
        return digest.hexdigest()

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        name = self._name(key)
        if stop is not None and stop <= start:
            return b""
        return self._patiently(lambda: self._get(name, start, stop))

    def head(self, key: str) -> Head | None:
        name = self._name(key)
        return self._patiently(lambda: self._head(name))

    def list(self, prefix: str = "") -> Iterator[Head]:
        more: dict[str, str] = {}
        while True:
            ask = partial(self._client.list_objects_v2, Bucket=self._bucket, Prefix=self._prefix + prefix, **more)
            page = self._patiently(ask)
            for found in page.get("Contents", ()):
                yield Head(found["Key"][len(self._prefix) :], found["Size"], found["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        name = self._name(key)
        self._patiently(lambda: self._client.delete_object(Bucket=self._bucket, Key=name))

    def tidy(self, before: datetime) -> int:
        return 0  # a put is one request: it is there whole or not at all

    def check(self) -> None:
        ask = partial(self._client.list_objects_v2, Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        self._patiently(ask, attempts=1)

    def close(self) -> None:
        self._client.close()

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _put(self, name: str, data: bytes, digest: bytes) -> None:
        if self._head(name) is None and self._create(name, data, digest):
            return
        # Something is there: another writer's, or of an attempt whose answer was lost, or ours and not checked.
        if self._get(name, 0, None, noted=False) != data:
            raise ObjectDiffers(f"{name} is stored already with other content and is not replaced")

    def _create(self, name: str, data: bytes, digest: bytes) -> bool:
        """Whether the object was made and is known to be right; False: look what is there."""
        noted = {"Bucket": self._bucket, "Key": name, "Body": data, "Metadata": {"sha256": digest.hex()}}
        checksum = b64encode(digest).decode()
        if not self._plain:
            try:
                answer = self._client.put_object(**noted, IfNoneMatch="*", ChecksumSHA256=checksum)
            except ClientError as error:
                if _status(error) in {304, 412}:
                    return False
                if _status(error) != 501 and _code(error) not in {"NotImplemented", "UnsupportedHeader"}:
                    raise
                self._plain = True
            else:
                made = self._head(name)
                if made is None or made.size != len(data):
                    raise ObjectDamaged(f"the object store did not keep what was written to {name}")
                return bool(answer.get("ChecksumSHA256") == checksum)
        self._client.put_object(**noted)
        if self._get(name, 0, None, noted=False) != data:
            raise ObjectDamaged(f"the object store did not keep what was written to {name}")
        return True

    def _get(self, name: str, start: int, stop: int | None, *, noted: bool = True) -> bytes:
        whole = start == 0 and stop is None
        part = {} if whole else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=name, **part)
        except ClientError as error:
            if _status(error) == 416:
                return b""
            raise
        data: bytes = answer["Body"].read()
        if len(data) != answer["ContentLength"]:
            raise _Passing(f"the answer broke off after {len(data)} of {answer['ContentLength']} bytes")
        checksum = answer.get("Metadata", {}).get("sha256")
        if whole and noted and checksum and sha256(data).hexdigest() != checksum:
            raise ObjectDamaged(f"{name} does not hold the bytes that were stored: its checksum differs")
        return data

    def _head(self, name: str) -> Head | None:
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=name)
        except ClientError as error:
            if _status(error) == 404 and _code(error) != "NoSuchBucket":
                return None
            raise
        checksum = answer.get("Metadata", {}).get("sha256")
        return Head(name[len(self._prefix) :], answer["ContentLength"], answer["LastModified"], checksum)

    def _patiently(self, call: Callable[[], T], attempts: int | None = None) -> T:
        """The call's answer; what can pass is tried again with growing, random pauses."""
        attempts = attempts or self._attempts
        for attempt in range(1, attempts + 1):
            try:
                return call()
            except ClientError as error:
                self._raise_unless_passing(error)
                # The answer to a HEAD has no body, and so its status stands for the code.
                reason = _code(error) if _code(error) == str(_status(error)) else f"{_status(error)} {_code(error)}"
                cause: Exception = error
            except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
                raise ObjectsRefused(
                    "DASH_BRONZE_URL: no credentials for the bucket; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                ) from error
            except (BotoCoreError, _Passing, OSError) as error:
                reason, cause = str(error) or type(error).__name__, error
            if attempt < attempts:
                self._pause(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)))
        raise ObjectsUnavailable(
            f"the object store does not answer (bucket {self._bucket}, {attempts} attempts): {reason}"
        ) from cause

    def _raise_unless_passing(self, error: ClientError) -> None:
        status, code = _status(error), _code(error)
        if status >= 500 or status in {408, 409, 425, 429} or code in _PASSING:
            return
        if code == "NoSuchBucket":
            raise ObjectsRefused(
                f"DASH_BRONZE_URL: there is no bucket {self._bucket}; make it, or name another"
            ) from error
        if code == "NoSuchKey":
            raise ObjectMissing("the object store has no such object") from error
        if code in _DENIED or status in {401, 403}:
            raise ObjectsRefused(
                f"DASH_BRONZE_URL: the bucket {self._bucket} refuses access ({code}); "
                "the key in AWS_ACCESS_KEY_ID needs to list, read, write and delete there"
            ) from error
        raise ObjectsRefused(f"DASH_BRONZE_URL: the bucket {self._bucket} answered {status} {code}") from error


class _Passing(Exception):
    """An answer was cut short."""


def _status(error: ClientError) -> int:
    answer: Any = error.response.get("ResponseMetadata", {})
    return int(answer.get("HTTPStatusCode", 0))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
