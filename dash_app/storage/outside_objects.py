"""Somebody else's bucket: objects listed and read, or written.

boto3 signs the requests and understands the answers; how they get there is the caller's. Each request is sent through
the HTTP client that is handed in, which reaches only what may be reached, on the event that botocore has for taking the
sending over. No credentials but those given are looked for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import boto3
import httpx
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url

from dash_app.domain.errors import DashError, Permanent, Transient

#: The largest answer that is taken.
MOST_BYTES = 64 << 20
#: Headers that the client makes itself.
_OWN = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_PASSING = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestTimeTooSkewed", "InternalError"}


class BucketRefused(Permanent):
    """The bucket cannot be used."""

    title = "Refused by the object store"


class BucketUnavailable(Transient):
    """The object store does not answer right now."""


def names_a_host(endpoint: str) -> bool:
    """Whether requests can be signed for the host of this URL."""
    return bool(is_valid_endpoint_url(endpoint) or is_valid_ipv6_endpoint_url(endpoint))


@dataclass(frozen=True)
class BucketTarget:
    """A bucket and who one is there. `endpoint`: a URL, '' for Amazon's own; no key: without a signature."""

    bucket: str
    region: str = "us-east-1"
    endpoint: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """An object. `version` changes with what it holds."""

    key: str
    size: int
    version: str
    modified: datetime


class OutsideBucket:
    """A bucket, over a client that is closed by whoever made it. Raises BucketRefused, BucketUnavailable, and what the
    client refuses."""

    def __init__(self, target: BucketTarget, client: httpx.Client) -> None:
        self._target = target
        self._http = client
        signed = bool(target.access_key)
        try:
            self._s3 = boto3.session.Session(
                aws_access_key_id=target.access_key or "none", aws_secret_access_key=target.secret_key or "none"
            ).client(
                "s3",
                region_name=target.region,
                endpoint_url=target.endpoint or f"https://s3.{target.region}.amazonaws.com",
                config=Config(
                    signature_version="s3v4" if signed else UNSIGNED,
                    retries={"total_max_attempts": 2, "mode": "standard"},
                    s3={"addressing_style": "path" if target.endpoint else "virtual"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    ignore_configured_endpoint_urls=True,
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise BucketRefused(
                f"the bucket {target.bucket} cannot be asked: its endpoint or region is none"
            ) from error
        self._s3.meta.events.register_first("before-send.s3", self._send)

    def objects(self, prefix: str, after: str = "") -> Iterator[Found]:
        """The objects whose keys begin with `prefix`, in order of key, from behind `after` on."""
        more: dict[str, Any] = {"StartAfter": after} if after else {}
        while True:
            page = self._ask(
                lambda more=more: self._s3.list_objects_v2(Bucket=self._target.bucket, Prefix=prefix, **more)
            )
            for one in page.get("Contents", ()):
                if not one["Key"].endswith("/"):
                    yield Found(one["Key"], one["Size"], one["ETag"].strip('"'), one["LastModified"])
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}
            if token == more:
                raise BucketRefused(f"the bucket {self._target.bucket} lists the same page again and again")
            more = token

    def read(self, found: Found, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`. Raises BucketRefused where the object is another one by now."""
        if stop <= start:
            return b""
        answer = self._ask(
            lambda: self._s3.get_object(
                Bucket=self._target.bucket, Key=found.key, Range=f"bytes={start}-{stop - 1}", IfMatch=found.version
            )
        )
        partial = answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        begins = re.match(r"bytes (\d+)-", answer.get("ContentRange", ""))
        if (start and not partial) or (partial and begins and int(begins[1]) != start):
            raise BucketRefused(
                f"the object store answers with other bytes than were asked for, from {start:,} on: it must know Range"
            )
        data: bytes = answer["Body"].read()
        return data[: stop - start]

    def put(self, key: str, data: bytes, content_type: str) -> str:
        """Writes an object, over what may be there; answers its version."""
        made = self._ask(
            lambda: self._s3.put_object(Bucket=self._target.bucket, Key=key, Body=data, ContentType=content_type)
        )
        return str(made.get("ETag", "")).strip('"')

    def delete(self, key: str) -> None:
        self._ask(lambda: self._s3.delete_object(Bucket=self._target.bucket, Key=key))

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(error.response.get("Error", {}).get("Code", ""))[:60]
            text = f"the bucket {self._target.bucket} answers {status} {code}".rstrip()
            if status == 412:
                raise BucketUnavailable("the object was replaced while it was read") from error
            if status >= 500 or status in (408, 429) or code in _PASSING:
                raise BucketUnavailable(text) from error
            raise BucketRefused(text) from error
        except httpx.HTTPError as error:
            raise BucketUnavailable(f"the bucket {self._target.bucket} does not answer") from error
        except BotoCoreError as error:
            if isinstance(error.__cause__, DashError):
                raise error.__cause__ from None
            raise BucketRefused(f"the bucket {self._target.bucket} cannot be asked: {type(error).__name__}") from error

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        """Sends what botocore has signed; what is answered here, it does not send itself."""
        body = request.body
        content = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else body
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
            if name.lower() not in _OWN
        }
        made = self._http.build_request(
            request.method, request.url, headers=headers, content=content or None, timeout=self._target.timeout
        )
        response = self._http.send(made, stream=True, follow_redirects=False)
        if response.is_redirect and "x-amz-bucket-region" not in response.headers:
            # botocore would ask for the region at the same address, be redirected again, and so on without end.
            response.close()
            raise BucketRefused(f"the bucket {self._target.bucket} answers with a redirect and no region")
        try:
            data = bytearray()
            for piece in response.iter_raw():
                data += piece
                if len(data) > MOST_BYTES:
                    raise BucketRefused(f"the bucket {self._target.bucket} answers more than was asked for")
        finally:
            response.close()
        return AWSResponse(request.url, response.status_code, response.headers, _Raw(bytes(data)))


class _Raw(io.BytesIO):
    """An answer's body as botocore reads it."""

    def stream(self, size: int = 1 << 16, **_: Any) -> Iterator[bytes]:
        while piece := self.read(size):
            yield piece
