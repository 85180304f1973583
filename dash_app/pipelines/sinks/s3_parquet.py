"""Records as Parquet files in a bucket: one object a message, in folders by day.

The object's name is the message's id, so that a message that is sent again writes the same object over itself. A test
writes a small object and removes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dash_app.domain.errors import Permanent
from dash_app.pipelines.bucket_options import BucketOptions
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks.base import Answer, Message, Sink
from dash_app.storage.parquet_export import records_parquet

CONTENT_TYPE = "application/vnd.apache.parquet"


class S3Parquet(BucketOptions, Sink):
    kind = "s3_parquet"
    summary = "Records as Parquet files in an S3 bucket, by day."
    tells_people = False
    batches = True
    secrets = frozenset({"secret_access_key"})
    example: ClassVar[Mapping[str, Any]] = {
        "bucket": "warehouse",
        "prefix": "dash/measurements/",
        "region": "eu-north-1",
        "access_key_id": "AKIDEXAMPLE",
    }

    def problems(self) -> list[tuple[str, str]]:
        return super().problems() + self.bucket_problems()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["bucket"]}

    def send(self, message: Message, reach: Reach) -> Answer:
        prefix = f"{self.prefix}/" if self.prefix and not self.prefix.endswith("/") else self.prefix
        test = message.type == "test"
        if not test and message.type != "records":
            raise Permanent(f"this sink takes records, and this is a message of type {message.type}")
        name = f"{message.id}.test" if test else f"dt={message.at:%Y-%m-%d}/{message.id}.parquet"
        records = list(message.payload.get("records", ()))
        data = records_parquet(records, message.id, message.at)
        with reach.client(float(self.timeout_seconds)) as client:
            bucket = self.opened(client, float(self.timeout_seconds))
            version = bucket.put(prefix + name, data, CONTENT_TYPE)
            if test:
                bucket.delete(prefix + name)
        request = f"PUT s3://{self.bucket}/{prefix}{name}: {len(records)} records, {len(data):,} bytes"
        return Answer(200, request, "written, and removed again" if test else f"ETag {version}")
