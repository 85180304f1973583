"""XML → the values that a mapping reads: an element is an object, its attributes are members `@name`, its text `#text`.

An element with nothing but text is that text; one that stands several times beside its equals is an array; namespaces
stay as the document writes them (`dc:creator`). All values are texts. Whether an element stands there once or often is
an accident of the day, so `[*]` on one that stands there once is that one and not what is in it (`Element`).

Nothing is loaded from anywhere and nothing unfolds: a document that declares entities or brings its own document type
is refused, and so is one that is deeper or has more elements than JSON may have arrays and objects.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

import xmltodict


class NotXml(ValueError):
    """The body is not XML that is read here; the text says why."""


class Element(dict[str, Any]):
    """An XML element that has attributes or other elements in it."""


def parse_xml(body: bytes, *, max_depth: int, max_elements: int, encoding: str | None = None) -> Element:
    """The document as an object with one member, the root element. Raises NotXml.

    `encoding` is what the Content-Type says; None: what the document itself says.
    """
    _check(body, max_depth, max_elements, encoding)
    try:
        return Element(xmltodict.parse(body, encoding=encoding, dict_constructor=Element))
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise NotXml(f"not valid XML: {error}") from None


def _check(body: bytes, max_depth: int, max_elements: int, encoding: str | None) -> None:
    """One pass that makes nothing, before the one that makes objects."""
    depth = elements = attributes = 0

    def start(_name: str, given: list[str]) -> None:
        nonlocal depth, elements, attributes
        depth += 1
        elements += 1
        attributes += len(given) // 2
        if depth > max_depth:
            raise NotXml(f"nested more than {max_depth} deep")
        if elements + attributes > max_elements:
            raise NotXml(f"more than {max_elements:,} elements and attributes")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(_name: str, _system: str | None, _public: str | None, has_subset: int) -> None:
        if has_subset:
            raise NotXml("a document type of its own (entities, defaults) is not accepted")

    def entity(*_given: Any) -> None:
        raise NotXml("entities are not accepted")

    try:
        parser = expat.ParserCreate(encoding)
        parser.ordered_attributes = True
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.StartDoctypeDeclHandler = doctype
        parser.EntityDeclHandler = entity
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise NotXml(f"not valid XML: {error}") from None
    except (ValueError, LookupError) as error:
        if isinstance(error, NotXml):
            raise
        raise NotXml(f"not valid XML: {error}") from None
