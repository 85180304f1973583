"""SQLAlchemy's picture of the catalog's and the people's tables. It never leaves this folder: stores answer
dataclasses.

The migrations are the truth; a test holds these models against the migrated database. The hot tables (inbox, silver,
ledgers) are written with statements of their own and have no model.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Double, Identity, LargeBinary, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(schema="dash")
    type_annotation_map = {
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        bytes: LargeBinary,
        float: Double,
    }


class Team(Base):
    __tablename__ = "teams"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Member(Base):
    __tablename__ = "members"
    team_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PipelineRow(Base):
    __tablename__ = "pipelines"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    team_id: Mapped[UUID]
    slug: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    source_kind: Mapped[str]
    source_options: Mapped[dict[str, Any]]
    mapping_version: Mapped[int | None]
    retention: Mapped[dict[str, Any]]
    records_from: Mapped[datetime | None]
    rollups_from: Mapped[datetime | None]
    payloads_from: Mapped[int | None] = mapped_column(BigInteger)
    swept_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(default="")
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str] = mapped_column(default="")
    generation: Mapped[int] = mapped_column(default=1)


class MappingRow(Base):
    __tablename__ = "mappings"
    team_id: Mapped[UUID]
    pipeline_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]]
    note: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SilverVersionRow(Base):
    __tablename__ = "silver_versions"
    team_id: Mapped[UUID]
    pipeline_id: Mapped[UUID] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    schema_name: Mapped[str]
    table_name: Mapped[str]
    dims: Mapped[list[str]]
    created: Mapped[bool]


class ApiToken(Base):
    __tablename__ = "api_tokens"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    team_id: Mapped[UUID]
    user_id: Mapped[UUID]
    name: Mapped[str]
    hash: Mapped[bytes]
    hint: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditRow(Base):
    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    team_id: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[UUID | None]
    actor_email: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    detail: Mapped[dict[str, Any]]
