"""The three feeds, from the files that ship in `data/` (sources and licences: `data/README.md`).

- `weather`: two whole years. The hourly temperatures of Seattle and San Francisco are NOAA's 30-year normals, the same
  each year; the daily observations of Seattle are those of 2014 and 2015, one at the end of each day.
- `earthquakes`: USGS' catalogue from April to July 2024 between Borneo and New Guinea, as GeoJSON features.
- `ride`: a bicycle computer, one sample a second of a ride of 73 minutes, in its own rhythm.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

from dash_app.demo.timeline import Feed, Record, Row

WEATHER_NOTE = (
    "Real NOAA weather of 2014-2015, moved in time so that its last hour was the demo's first start; since then one"
    " record follows every 2 seconds with the time of its release."
)
EARTHQUAKES_NOTE = (
    "Real USGS earthquakes of April to July 2024, moved in time so that the last one was the demo's first start; since"
    " then one follows every 3 seconds with the time of its release."
)
RIDE_NOTE = (
    "A real bicycle ride of 73 minutes, moved in time so that it ended at the demo's first start; since then it is"
    " ridden again and again, one sample every second with the time of its release."
)
NOTES = {"weather": WEATHER_NOTE, "earthquakes": EARTHQUAKES_NOTE, "ride": RIDE_NOTE}

_YEARS = (2014, 2015)


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (
        (resources.files(__package__) / "data" / name).open("rb") as packed,
        gzip.open(packed, "rt", newline="") as text,
    ):
        yield from csv.DictReader(text)


def iso(time_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds, `Z` at the end."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _feed(name: str, cadence_ms: int, timed: list[tuple[datetime, Row]], render: Any) -> Feed:
    last = timed[-1][0]
    return Feed(
        name=name,
        note=NOTES[name],
        cadence_ms=cadence_ms,
        offsets_ms=tuple((at - last) // timedelta(milliseconds=1) for at, _ in timed),
        rows=tuple(row for _, row in timed),
        render=render,
    )


def _celsius(fahrenheit: str) -> float:
    return round((float(fahrenheit) - 32) * 5 / 9, 2)


def _weather_record(number: int, time_ms: int, row: Row) -> Record:
    return {"sequence": number + 1, "time": iso(time_ms), **row}


@cache
def weather() -> Feed:
    """Hourly normals (`kind` normal: `temperature` °C) and daily observations (`kind` observation: `high`, `low` °C,
    `precipitation` mm, `wind` m/s, `weather`); `source_time` is the record's own time before it was moved."""
    observed = {date.fromisoformat(row["date"]): row for row in _rows("weather_seattle.csv.gz")}
    normals = list(_rows("weather_normals.csv.gz"))
    timed: list[tuple[datetime, Row]] = []
    for year in _YEARS:
        for row in normals:
            at = datetime(year, int(row["month"]), int(row["day"]), int(row["hour"]), tzinfo=UTC)
            for site, column in (("Seattle", "seattle_f"), ("San Francisco", "san_francisco_f")):
                timed.append(
                    (
                        at,
                        {
                            "source_time": f"{at:%m-%dT%H:00}",
                            "site": site,
                            "kind": "normal",
                            "temperature": _celsius(row[column]),
                        },
                    )
                )
            if at.hour == 23:
                day = observed[at.date()]
                timed.append(
                    (
                        at,
                        {
                            "source_time": day["date"],
                            "site": "Seattle",
                            "kind": "observation",
                            "high": float(day["temp_max_c"]),
                            "low": float(day["temp_min_c"]),
                            "precipitation": float(day["precipitation_mm"]),
                            "wind": float(day["wind_ms"]),
                            "weather": day["weather"],
                        },
                    )
                )
    return _feed("weather", 2_000, timed, _weather_record)


def depth_class(depth_km: float) -> str:
    """Seismology's usual three classes: shallow above 70 km, deep below 300 km."""
    return "shallow" if depth_km < 70 else "intermediate" if depth_km < 300 else "deep"


def _earthquake_feature(number: int, time_ms: int, row: Row) -> Record:
    return {
        "type": "Feature",
        "id": f"quake-{number + 1:08d}",
        "properties": {**row["properties"], "sequence": number + 1, "time": time_ms},
        "geometry": row["geometry"],
    }


@cache
def earthquakes() -> Feed:
    """GeoJSON features: `properties` mag, place, region, depth_class, time (epoch ms), sequence, source_time;
    `geometry` a point [longitude °, latitude °, depth km]."""
    timed: list[tuple[datetime, Row]] = []
    for row in _rows("earthquakes.csv.gz"):
        depth = float(row["depth_km"])
        properties = {
            "mag": float(row["magnitude"]),
            "place": row["place"],
            "region": row["place"].rsplit(", ", 1)[-1],
            "depth_class": depth_class(depth),
            "source_time": row["time"],
        }
        point = {"type": "Point", "coordinates": [float(row["longitude"]), float(row["latitude"]), depth]}
        timed.append((datetime.fromisoformat(row["time"]), {"properties": properties, "geometry": point}))
    return _feed("earthquakes", 3_000, timed, _earthquake_feature)


def effort(power_w: int) -> str:
    """Five bands of pedalling power, chosen for this ride."""
    bands = ((1, "coasting"), (130, "easy"), (190, "steady"), (260, "hard"))
    return next((name for below, name in bands if power_w < below), "sprint")


def _ride_sample(number: int, time_ms: int, row: Row) -> Record:
    return {"type": "ride.sample", "id": f"ride-{number + 1:08d}", "timestamp": iso(time_ms), "data": dict(row)}


@cache
def ride() -> Feed:
    """Samples as Standard Webhooks shapes them: type, id, timestamp (ISO 8601), `data` with second (of the ride),
    power W, cadence 1/min, speed m/s, altitude m, distance m, effort."""
    timed: list[tuple[datetime, Row]] = []
    for row in _rows("ride.csv.gz"):
        power = int(row["power_w"])
        second = int(row["second"])
        sample = {
            "second": second,
            "power": power,
            "cadence": int(row["cadence_rpm"]),
            "speed": float(row["speed_ms"]),
            "altitude": float(row["altitude_m"]),
            "distance": float(row["distance_m"]),
            "effort": effort(power),
        }
        timed.append((datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=second), sample))
    return _feed("ride", 1_000, timed, _ride_sample)
