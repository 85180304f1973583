"""What a source and a sink for S3 are both told: the bucket, and who one is there."""

from __future__ import annotations

import re

import httpx
import param

from dash_app.pipelines.reach.urls import wrong_url
from dash_app.storage.outside_objects import BucketTarget, OutsideBucket, names_a_host

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,40}")


class BucketOptions(param.Parameterized):
    """Mixed into kinds."""

    bucket = param.String(default="", doc="The bucket's name.")
    prefix = param.String(default="", doc="What the keys begin with, such as exports/.")
    region = param.String(default="us-east-1", doc="The bucket's region; services that have none take any.")
    endpoint = param.String(default="", doc="The service's URL where it is not Amazon's own: R2, MinIO and the like.")
    access_key_id = param.String(default="", doc="The access key's id; empty: without a signature.")
    secret_access_key = param.String(default="", doc="The access key's secret, kept encrypted and never shown.")

    def bucket_problems(self) -> list[tuple[str, str]]:
        found = []
        if not _BUCKET.fullmatch(self.bucket) or ".." in self.bucket:
            found.append(
                ("bucket", "is missing" if not self.bucket else "is no bucket's name: 3 to 63 of a-z, 0-9, - and .")
            )
        if (
            len(self.prefix.encode()) > 800
            or not (self.prefix.isprintable() or not self.prefix)
            or self.prefix.startswith("/")
        ):
            found.append(("prefix", "is up to 800 printable characters that do not begin with /"))
        if not _REGION.fullmatch(self.region):
            found.append(("region", "is no region, such as eu-north-1"))
        if self.endpoint and (wrong := wrong_url(self.endpoint, ("https", "http"), path=False)):
            found.append(("endpoint", wrong))
        elif self.endpoint and not names_a_host(self.endpoint):
            found.append(
                ("endpoint", "names no host that S3 is spoken with: labels of a-z, 0-9 and - with dots between")
            )
        if self.secret_access_key and not self.access_key_id:
            found.append(("access_key_id", "is missing, and there is a secret"))
        return found

    def opened(self, client: httpx.Client, timeout: float) -> OutsideBucket:
        return OutsideBucket(
            BucketTarget(
                bucket=self.bucket,
                region=self.region,
                endpoint=self.endpoint,
                access_key=self.access_key_id,
                secret_key=self.secret_access_key,
                timeout=timeout,
            ),
            client,
        )
