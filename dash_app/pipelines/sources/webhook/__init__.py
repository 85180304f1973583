"""Webhooks: senders come to us, and prove by a signature that what they send is their own.

The options are the source's own and, beside them, those of the chosen signature scheme: `{"scheme": "hmac", "header":
"x-signature"}`. Each scheme is one file in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import param

from dash_app.domain.errors import Invalid
from dash_app.pipelines.sources.base import Source
from dash_app.pipelines.sources.webhook import senders
from dash_app.pipelines.sources.webhook.base import SignatureScheme, load_schemes

#: The highest rate that can be named; without one there is none.
MAX_RATE = 100_000


class Webhook(Source):
    kind = "webhook"
    summary = "A URL to which others post; each body is a payload."
    pushed = True
    example: ClassVar[Mapping[str, Any]] = {"scheme": "standard_webhooks"}
    secrets: ClassVar[frozenset[str]] = frozenset({"verify_token"})
    unsent: ClassVar[frozenset[str]] = secrets

    scheme = param.String(
        default="standard_webhooks",
        doc="How senders sign: the name of a signature scheme. none must be chosen by hand.",
    )

    allowed_senders = param.List(
        default=[],
        doc="The addresses and networks that may send, such as 192.0.2.0/24; from others: 403. Without any, all may.",
    )
    rate_limit = param.Number(
        default=0,
        bounds=(0, MAX_RATE),
        doc="Deliveries a second that each node accepts; what is more is answered 429. 0: as many as come.",
    )
    verify_token = param.String(
        default="",
        doc="What Meta and others show in a GET before they send, to have hub.challenge back; kept encrypted and never "
        "shown.",
    )
    allowed_origins = param.List(
        default=[],
        doc="Origins that may send after asking by OPTIONS, as CloudEvents senders do; * for all. Without any, none "
        "are answered.",
    )

    #: The scheme with its options, ready to verify.
    signature: SignatureScheme

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)  # type: ignore[no-untyped-call]
        self.signature = load_schemes()[self.scheme]()

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems() + senders.problems("allowed_senders", self.allowed_senders)
        for number, origin in enumerate(self.allowed_origins):
            if not isinstance(origin, str) or not 0 < len(origin) <= 300 or not origin.isascii() or " " in origin:
                found.append(
                    (f"allowed_origins[{number}]", "is no origin: a host name such as events.example.org, or *")
                )
        token = self.verify_token
        if token and (len(token) > 500 or not token.isprintable() or token != token.strip()):
            found.append(("verify_token", "holds spaces at its ends, or characters that cannot be printed"))
        return found

    @classmethod
    def options(cls) -> dict[str, param.Parameter[Any]]:
        """The source's own options, then those of every scheme; `scheme_options` says which go with a scheme."""
        found = super().options()
        for scheme in load_schemes():
            for name, parameter in scheme.options().items():
                found.setdefault(name, parameter)
        # A scheme's own defaults and words stand in the schema, under its condition.
        return found

    @classmethod
    def own_options(cls) -> dict[str, param.Parameter[Any]]:
        """The options that every webhook has, whatever its scheme."""
        return super().options()

    @classmethod
    def scheme_options(cls, scheme: str) -> dict[str, param.Parameter[Any]]:
        """The options that a scheme adds; Invalid where there is no such scheme."""
        return load_schemes()[scheme].options()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], where: str = "options") -> Self:
        problems: list[tuple[str, str]] = []
        made = cls()
        for name in cls.own_options():
            if name in options:
                if name in cls.secrets and not isinstance(options[name], str):
                    # Said here, because param's own message would repeat the value.
                    problems.append((f"{where}.{name}", "is not text"))
                    continue
                try:
                    setattr(made, name, options[name])
                except (ValueError, TypeError) as error:
                    problems.append((f"{where}.{name}", str(error)))
        problems += [(f"{where}.{name}", what) for name, what in made.problems()] if not problems else []
        rest = {name: value for name, value in options.items() if name not in cls.own_options()}
        if made.scheme not in load_schemes():
            known = ", ".join(load_schemes().names())
            problems.append((f"{where}.scheme", f"'{made.scheme[:60]}' is unknown; there are {known}"))
        else:
            try:
                made.signature = load_schemes()[made.scheme].from_options(rest, where)
            except Invalid as error:
                problems += error.problems
        if problems:
            raise Invalid(problems=problems)
        return made

    def to_options(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.own_options()}
        # The scheme is always named: a stored pipeline keeps its meaning should the default ever change.
        kept = {n: v for n, v in own.items() if n == "scheme" or v != self.param[n].default}
        return kept | self.signature.to_options()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The options; which of them go with which scheme is said by the conditions under `allOf`."""
        schema = super().json_schema()
        own = set(cls.own_options())
        first = {"standard_webhooks": 0, "none": 2}
        names = sorted(load_schemes().names(), key=lambda name: (first.get(name, 1), name))
        schema["properties"]["scheme"] |= {
            "enum": names,
            "x-titles": {scheme.kind: scheme.title or scheme.kind for scheme in load_schemes()},
        }
        schema["allOf"] = [
            {
                # An absent scheme is the default one, so only for the others does the condition ask for its presence.
                "if": {"properties": {"scheme": {"const": scheme.kind}}}
                | ({} if scheme.kind == cls.param.scheme.default else {"required": ["scheme"]}),
                "then": {
                    "description": scheme.summary,
                    "properties": scheme.json_schema()["properties"],
                    "propertyNames": {"enum": sorted(own | set(scheme.options()))},
                },
            }
            for scheme in load_schemes()
        ]
        return schema


__all__ = ["SignatureScheme", "Webhook", "load_schemes"]
