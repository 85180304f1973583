"""Drafts of mappings: kept under an id that nobody can guess, seen by their team alone, forgotten in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dash_app.domain.errors import NotFound, TooLarge
from dash_app.storage import catalog, drafts, people
from tests.integration.conftest import House

TEXT = "# nearly\nfields:\n  - {name: n, path: $.n, type: numbr}\n"


def share(house: House, pipeline, text: str = TEXT) -> drafts.Draft:
    with house.app.database.team(house.team) as unit:
        made = drafts.create(unit, house.team, pipeline, text, base=1, author="kari@example.org")
        unit.commit()
    return made


def test_a_draft_is_read_back_as_it_was_written_mistakes_and_all(house: House) -> None:
    pipeline = house.pipeline()
    made = share(house, pipeline)
    with house.app.database.team(house.team) as unit:
        found = drafts.find(unit, pipeline, made.id)
    assert found == made
    assert (found.text, found.base, found.author) == (TEXT, 1, "kari@example.org")
    assert len(made.id) >= 24
    assert share(house, pipeline).id != made.id


def test_another_team_does_not_find_it(house: House) -> None:
    made = share(house, house.pipeline())
    with house.app.database.ingest() as unit:
        other = people.create_team(unit, "other", "Other")
        unit.commit()
    with house.app.database.team(other) as unit:
        mine = catalog.create_pipeline(
            unit, other, slug="orders", name="Orders", source_kind="webhook", source_options={"scheme": "github"}
        )
        unit.commit()
    for pipeline in (made.pipeline, mine.id):
        with house.app.database.team(other) as unit, pytest.raises(NotFound):
            drafts.find(unit, pipeline, made.id)
    # Not even by writing one that claims to be the other team's.
    with house.app.database.team(other) as unit, pytest.raises(Exception, match="row-level security"):
        drafts.create(unit, house.team, made.pipeline, TEXT, base=0)


def test_a_draft_belongs_to_one_pipeline(house: House) -> None:
    made = share(house, house.pipeline())
    other = house.pipeline("refunds")
    with house.app.database.team(house.team) as unit, pytest.raises(NotFound, match="no draft"):
        drafts.find(unit, other, made.id)


@pytest.mark.parametrize("name", ["", "x", "\0", "x" * 5000, "'; DROP TABLE dash.mapping_drafts; --"])
def test_what_is_no_draft_is_not_found(house: House, name: str) -> None:
    pipeline = house.pipeline()
    with house.app.database.team(house.team) as unit, pytest.raises(NotFound):
        drafts.find(unit, pipeline, name)


def test_what_no_mapping_could_be_is_not_kept(house: House) -> None:
    pipeline = house.pipeline()
    with pytest.raises(TooLarge):
        share(house, pipeline, "x" * 300_000)
    assert share(house, pipeline, "a\0b\ud800").text == "a\ufffdb?"


def test_old_drafts_are_forgotten_and_younger_ones_stay(house: House) -> None:
    pipeline = house.pipeline()
    old, young = share(house, pipeline), share(house, pipeline)
    with house.app.database.ingest() as unit:
        unit.execute("UPDATE mapping_drafts SET created_at = created_at - interval '31 days' WHERE id = %s", (old.id,))
        assert drafts.prune(unit, young.created_at) == 1
        assert drafts.prune(unit, young.created_at) == 0
        unit.commit()
    assert house.rows("SELECT id FROM mapping_drafts") == [(young.id,)]
    with house.app.database.ingest() as unit:
        assert drafts.prune(unit, young.created_at + timedelta(days=30, seconds=1)) == 1
