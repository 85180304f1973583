"""Versions of a pipeline's mapping, and trying one out before it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.mapping import load_mapping_text
from dash_app.pipelines import preview as previews
from dash_app.pipelines import setup
from dash_app.pipelines.query import frame_items, record_columns
from dash_app.pipelines.suggest import handed_in
from dash_app.storage import bronze, catalog
from dash_app.storage.silver_columns import SYSTEM
from dash_app.web.api import shapes
from dash_app.web.api.operation import PAGED, Call, Operation
from dash_app.web.api.schema import array_of, object_of, page_of

PREVIEW_RECORDS = 1000


def list_mappings(call: Call) -> Any:
    found = call.pipeline()
    return call.page_of_all(
        catalog.mappings(call.unit, found.id),
        lambda one: shapes.mapping(one, found.mapping_version),
        lambda one: one.version,
    )


def get_mapping(call: Call) -> Any:
    found = call.pipeline()
    version = call.number("version")
    if not 1 <= version < 1 << 31:
        raise NotFound
    return shapes.mapping(catalog.mapping(call.unit, found.id, version), found.mapping_version)


def create_mapping(call: Call) -> Any:
    found = call.pipeline()
    document = _document(call.body["mapping"])
    saved = setup.save_mapping(
        call.unit,
        found.id,
        document,
        call.principal,
        note=call.body.get("note", ""),
        activate=call.body.get("activate", "now"),
        base=call.body.get("base"),
    )
    call.then(partial(setup.ring, call.app, found.id))
    return {"version": saved.version.version, "replay": str(saved.replay) if saved.replay else None}


def preview(call: Call) -> Any:
    found = call.pipeline()
    given = call.body.get("mapping")
    if given is None and found.mapping_version is None:
        raise Invalid(problems=[("mapping", "this pipeline has no mapping yet; hand one in")])
    if given is not None:
        document: Mapping[str, Any] = _document(given)
    else:
        document = catalog.mapping(call.unit, found.id, found.mapping_version or 0).document
    limit = call.body.get("limit") or 10
    texts = call.body.get("payloads")
    content_type = call.body.get("content_type") or "application/json"
    try:
        plan = previews.compiled(document)
    except Invalid as error:
        raise Invalid(problems=[(_below(place), what) for place, what in previews.problems_of(error)]) from None
    tried = (
        bronze.newest(call.unit, call.app.objects, found.id, limit=limit)
        if texts is None
        else handed_in(found.id, [text.encode("utf-8") for text in texts], content_type)
    )
    made = previews.preview(plan, tried)
    fields = {field.name: field for field in made.spec.fields}
    mapped = made.mapped
    shown = mapped.frame.head(PREVIEW_RECORDS)
    return {
        "records": frame_items(shown.select([*SYSTEM, *fields]), record_columns({**SYSTEM, **fields})),
        "rejects": [shapes.reject(one) for one in mapped.rejects[:PREVIEW_RECORDS]],
        "schema": plan.schema(),
        "payloads": made.payloads,
        "clean": made.clean,
        "reasons": [
            {"field": one.field, "reason": one.reason, "payloads": one.payloads, "rejects": one.rejects}
            for one in made.groups
        ],
        "filtered": mapped.filtered,
        "failures": list(made.failures),
        "truncated": len(mapped.frame) > len(shown) or len(mapped.rejects) > PREVIEW_RECORDS,
    }


def _document(given: Any) -> Mapping[str, Any]:
    """A mapping from an object, or from text in YAML or JSON."""
    if isinstance(given, str):
        try:
            return load_mapping_text(given)
        except Invalid as error:
            raise Invalid(problems=[("mapping", error.message)]) from None
    return dict(given)


def _below(place: str) -> str:
    return f"mapping.{place}" if place else "mapping"


_TAG = "Mappings"
_PATH = "/pipelines/{pipeline}/mappings"
_MAPPING = {"type": ["object", "string"], "description": "A mapping document, or the same as text in YAML."}
_REASON = object_of({"field": shapes.TEXT, "reason": shapes.TEXT, "payloads": shapes.COUNT, "rejects": shapes.COUNT})
_FIELD = object_of({"name": shapes.TEXT, "type": shapes.TEXT, "unit": shapes.TEXT, "role": shapes.TEXT})

OPERATIONS = (
    Operation(
        "GET",
        _PATH,
        "list_mappings",
        _TAG,
        "Versions of a mapping, newest first",
        "pipelines.read",
        list_mappings,
        page_of(shapes.MAPPING),
        query=PAGED,
    ),
    Operation(
        "GET",
        _PATH + "/{version}",
        "get_mapping",
        _TAG,
        "One version of a mapping",
        "pipelines.read",
        get_mapping,
        shapes.MAPPING,
    ),
    Operation(
        "POST",
        _PATH,
        "create_mapping",
        _TAG,
        "Save a new version of a mapping",
        "pipelines.write",
        create_mapping,
        object_of({"version": {"type": "integer"}, "replay": {"type": ["string", "null"]}}),
        status=201,
        keyed=True,
        body=object_of(
            {
                "mapping": _MAPPING,
                "note": {"type": "string", "maxLength": 1000},
                "activate": {
                    "type": "string",
                    "enum": ["now", "no", "now_and_replay", "after_replay"],
                    "default": "now",
                    "description": "now: new payloads are mapped with it, and what there is stays readable beside "
                    "them; now_and_replay: the same until all payloads are mapped anew and swapped in; after_replay: "
                    "the version before goes on alone until then; no: it is only kept.",
                },
                "base": {
                    "type": ["integer", "null"],
                    "minimum": 0,
                    "description": "The newest version that was seen, 0 for none; 409 where there is a newer one.",
                },
            },
            required=("mapping",),
            closed=True,
        ),
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/preview",
        "preview_mapping",
        _TAG,
        "Try a mapping out, saving nothing",
        "pipelines.read",
        preview,
        object_of(
            {
                "records": array_of(shapes.RECORD),
                "rejects": array_of(shapes.REJECT),
                "schema": array_of(_FIELD),
                "payloads": shapes.COUNT,
                "clean": {**shapes.COUNT, "description": "Payloads of which nothing was refused."},
                "reasons": array_of(_REASON),
                "filtered": {**shapes.COUNT, "description": "Records that `where` left out."},
                "failures": {"type": "array", "items": shapes.TEXT, "description": "What the document's tests say."},
                "truncated": {"type": "boolean"},
            }
        ),
        raw_text=True,
        body=object_of(
            {
                "mapping": {
                    **_MAPPING,
                    "type": ["object", "string", "null"],
                    "description": "Left out: the active one.",
                },
                "payloads": {
                    "type": ["array", "null"],
                    "items": shapes.TEXT,
                    "maxItems": 1000,
                    "description": "Bodies to try it on; left out: the newest ones of this pipeline.",
                },
                "content_type": {
                    "type": "string",
                    "maxLength": 200,
                    "default": "application/json",
                    "description": "Of the bodies that are handed in.",
                },
                "limit": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "maximum": previews.MAX_PAYLOADS,
                    "description": "How many stored payloads, 10 unless said.",
                },
            },
            required=(),
            closed=True,
        ),
    ),
)
