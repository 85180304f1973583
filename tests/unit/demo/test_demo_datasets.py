"""The shipped data: complete, in order, strictly typed, with sources written down."""

from __future__ import annotations

from datetime import datetime
from importlib import resources

import pytest

from dash_app.demo import datasets
from dash_app.demo.timeline import Clock, Feed, released

EPOCH = 1_700_000_000_000
DAY = 86_400_000
FEEDS = [datasets.weather(), datasets.earthquakes(), datasets.ride()]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_feed_is_in_order_and_moves_at_least_every_ten_seconds(feed: Feed) -> None:
    assert list(feed.offsets_ms) == sorted(feed.offsets_ms)
    assert feed.cadence_ms <= 10_000
    assert feed.note.endswith(".")


def test_the_sizes_of_the_feeds() -> None:
    assert [len(feed.rows) for feed in FEEDS] == [35_766, 596, 4_391]
    assert FEEDS[0].offsets_ms[0] <= -729 * DAY
    assert FEEDS[1].offsets_ms[0] <= -121 * DAY
    assert FEEDS[2].offsets_ms[0] == -4_391_000


def test_weather_records() -> None:
    records, _ = released(datasets.weather(), Clock(EPOCH), EPOCH, 0, 50)
    assert records[0] == {
        "sequence": 1,
        "time": records[0]["time"],
        "source_time": "01-01T00:00",
        "site": "Seattle",
        "kind": "normal",
        "temperature": 4.11,
    }
    day = records[48]
    assert (day["kind"], day["source_time"], day["high"], day["low"]) == ("observation", "2014-01-01", 7.2, 3.3)
    last, _ = released(datasets.weather(), Clock(EPOCH), EPOCH, 35_765, 50)
    assert datetime.fromisoformat(last[0]["time"]).timestamp() * 1000 == EPOCH
    assert last[0]["source_time"] == "2015-12-31"


def test_earthquake_features() -> None:
    features, _ = released(datasets.earthquakes(), Clock(EPOCH), EPOCH + 3_000, 0, 1_000)
    assert len({feature["id"] for feature in features}) == len(features) == 597
    first, again = features[0], features[596]
    assert first["geometry"] == again["geometry"] == {"type": "Point", "coordinates": [112.6357, -5.7711, 11.954]}
    assert again["properties"] == {
        "mag": 4.1,
        "place": "125 km NNE of Paciran, Indonesia",
        "region": "Indonesia",
        "depth_class": "shallow",
        "source_time": "2024-04-01T10:26:27.337Z",
        "sequence": 597,
        "time": EPOCH + 3_000,
    }
    assert {feature["properties"]["region"] for feature in features} == {
        "Indonesia", "Philippines", "Timor Leste", "Banda Sea", "Micronesia", "Palau",
    }  # fmt: skip


def test_ride_samples_hold_no_positions() -> None:
    samples, _ = released(datasets.ride(), Clock(EPOCH), EPOCH, 0, 10_000)
    assert samples[0]["data"] == {
        "second": 0,
        "power": 68,
        "cadence": 5,
        "speed": 1.621,
        "altitude": 12.8,
        "distance": 2.07,
        "effort": "easy",
    }
    assert {sample["data"]["effort"] for sample in samples} == {"coasting", "easy", "steady", "hard", "sprint"}


@pytest.mark.parametrize(
    ("depth", "expected"), [(0, "shallow"), (69.9, "shallow"), (70, "intermediate"), (300, "deep")]
)
def test_depth_classes(depth: float, expected: str) -> None:
    assert datasets.depth_class(depth) == expected


def test_every_file_has_its_source_written_down_and_all_are_small() -> None:
    folder = resources.files("dash_app.demo") / "data"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    files = [entry for entry in folder.iterdir() if entry.name != "README.md"]
    assert len(files) == 4
    assert all(f"`{entry.name}`" in readme for entry in files)
    assert sum(len(entry.read_bytes()) for entry in files) < 3_000_000
