"""AWS regions: their places, and a suggestion for a region that does not offer the model.

A model is offered in a few regions only. For a region that exists, the suggestion is the
geographically nearest region that offers the model: the spelling of `eu-central-1` resembles that
of `ca-central-1`, but speech from Frankfurt should go to Stockholm. A name that is not a region is
assumed to be misspelt. Accounts of a separate partition (GovCloud, China) get no suggestion,
because they cannot use the regions of the standard partition.

Names and places are those of AWS's list of regions (botocore's `partitions.json`, November 2026).
Coordinates are those of the city or state that AWS names, in degrees; an error of 100 km does not
change any suggestion.
"""

import difflib
from collections.abc import Sequence
from math import asin, cos, radians, sin, sqrt

REGIONS: dict[str, tuple[str, float, float]] = {
    "af-south-1": ("Cape Town", -33.9, 18.4),
    "ap-east-1": ("Hong Kong", 22.3, 114.2),
    "ap-east-2": ("Taipei", 25.0, 121.5),
    "ap-northeast-1": ("Tokyo", 35.7, 139.7),
    "ap-northeast-2": ("Seoul", 37.6, 127.0),
    "ap-northeast-3": ("Osaka", 34.7, 135.5),
    "ap-south-1": ("Mumbai", 19.1, 72.9),
    "ap-south-2": ("Hyderabad", 17.4, 78.5),
    "ap-southeast-1": ("Singapore", 1.4, 103.8),
    "ap-southeast-2": ("Sydney", -33.9, 151.2),
    "ap-southeast-3": ("Jakarta", -6.2, 106.8),
    "ap-southeast-4": ("Melbourne", -37.8, 145.0),
    "ap-southeast-5": ("Malaysia", 3.1, 101.7),
    "ap-southeast-6": ("New Zealand", -36.8, 174.8),
    "ap-southeast-7": ("Thailand", 13.8, 100.5),
    "ca-central-1": ("Montreal", 45.5, -73.6),
    "ca-west-1": ("Calgary", 51.0, -114.1),
    "eu-central-1": ("Frankfurt", 50.1, 8.7),
    "eu-central-2": ("Zurich", 47.4, 8.5),
    "eu-north-1": ("Stockholm", 59.3, 18.1),
    "eu-south-1": ("Milan", 45.5, 9.2),
    "eu-south-2": ("Spain", 41.6, -0.9),
    "eu-west-1": ("Ireland", 53.3, -6.3),
    "eu-west-2": ("London", 51.5, -0.1),
    "eu-west-3": ("Paris", 48.9, 2.4),
    "il-central-1": ("Tel Aviv", 32.1, 34.8),
    "me-central-1": ("United Arab Emirates", 24.5, 54.4),
    "me-south-1": ("Bahrain", 26.1, 50.6),
    "me-west-1": ("Saudi Arabia", 24.7, 46.7),
    "mx-central-1": ("Mexico", 20.6, -100.4),
    "sa-east-1": ("Sao Paulo", -23.5, -46.6),
    "sa-west-1": ("Chile", -33.4, -70.7),
    "us-east-1": ("N. Virginia", 38.9, -77.4),
    "us-east-2": ("Ohio", 40.0, -83.0),
    "us-west-1": ("N. California", 37.4, -122.0),
    "us-west-2": ("Oregon", 45.8, -119.7),
}
"""The regions of the standard partition: place, latitude and longitude, in degrees."""

_OTHER_PARTITIONS = {
    "cn-": "AWS China",
    "us-gov-": "AWS GovCloud (US)",
    "eusc-": "the AWS European Sovereign Cloud",
    "us-iso": "an isolated AWS partition",
    "eu-iso": "an isolated AWS partition",
}
"""Prefixes of the regions of other partitions, and the names of these partitions."""

_MIN_SIMILARITY = 0.6
"""Similarity from which a name counts as a misspelt region, 0 to 1; the default of `difflib`."""


def suggestion(region: str, offered: Sequence[str]) -> str:
    """Return sentences that suggest another region; empty if none can be suggested.

    Args:
        region: The name that the user gave, which is not one of `offered`.
        offered: Names of the regions that offer the model.
    """
    for beginning, partition in _OTHER_PARTITIONS.items():
        if region.startswith(beginning):
            return f"The region belongs to {partition}, whose accounts have no region with it."
    if region in REGIONS:
        return f"Use {_described(nearest(region, offered))}: the nearest region with it."
    meant = _misspelt(region, offered)
    if meant is None:
        return ""
    if meant in offered:
        return f"Did you mean {meant!r}?"
    instead = _described(nearest(meant, offered))
    return f"Did you mean {meant!r}? The nearest region with it is {instead}."


def nearest(region: str, offered: Sequence[str]) -> str:
    """Return the offered region with the shortest great-circle distance to a region.

    Args:
        region: Name of a region of the standard partition.
        offered: Names to choose from; names that are not in `REGIONS` are left out.

    Raises:
        KeyError: `region` is not in `REGIONS`.
    """
    return min(
        (name for name in offered if name in REGIONS), key=lambda name: distance_km(region, name)
    )


def distance_km(one: str, other: str) -> float:
    """Return the great-circle distance between two regions, in km (haversine formula).

    Args:
        one: Name of a region.
        other: Name of the other region.

    Raises:
        KeyError: A name is not in `REGIONS`.
    """
    _, latitude, longitude = REGIONS[one]
    _, other_latitude, other_longitude = REGIONS[other]
    phi, other_phi = radians(latitude), radians(other_latitude)
    half_height = (other_phi - phi) / 2
    half_width = radians(other_longitude - longitude) / 2
    haversine = sin(half_height) ** 2 + cos(phi) * cos(other_phi) * sin(half_width) ** 2
    return 2 * 6371.0 * asin(sqrt(haversine))


def _described(region: str) -> str:
    return f"{region} ({REGIONS[region][0]})"


def _misspelt(name: str, offered: Sequence[str]) -> str | None:
    """Return the region with the most similar name, or None if none is similar.

    Between equally similar names, one that offers the model is preferred.
    """

    def similarity(region: str) -> tuple[float, bool]:
        ratio = difflib.SequenceMatcher(None, name.lower().strip(), region).ratio()
        return ratio, region in offered

    best = max(REGIONS, key=similarity)
    return best if similarity(best)[0] >= _MIN_SIMILARITY else None
