"""A customer's row in the online store: Feast's encoding of it, and what a reader answers."""

import datetime as dt
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import mmh3

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract

Key = str | int
FeatureValue = str | float | bool | None
STRING = 2
INTEGER = 4
"""Feast's ValueType of an entity key."""
REMEMBERED = 65_536


Found = dict[bytes, tuple[dict[str, FeatureValue], list[int]]]
"""Key -> its values, and the moment of each feature view's row (0: no row)."""
Cell = tuple[int, bytes, str, bytes, int | str]
"""Number of the feature view, key, feature, value and moment, as a table has them."""


class OnlineRow(NamedTuple):
    """What the online store holds of one customer.

    Attributes:
        values: Every feature of the contract in its order; None is a null or a missing row.
        as_of: The month of the oldest feature view's row.
        behind: Features whose view has no row, or a row of an older month than the newest.
    """

    values: dict[str, FeatureValue]
    as_of: dt.date
    behind: tuple[str, ...]


def all_older(rows: Sequence[OnlineRow | None], contract: Contract) -> bool:
    """Whether no row is of the newest month: the store has lost it."""
    return all(row is None or len(row.behind) == len(contract.features) for row in rows)


@dataclass(frozen=True)
class Month:
    """The newest month that was written completely, and the store that has it.

    Attributes:
        views: The feature views of the store with their features; None where the marker of an
            earlier platform does not name them.
    """

    as_of: dt.date
    store: str
    views: Mapping[str, Sequence[str]] | None = None

    @property
    def moment(self) -> int:
        """The instant of its rows, in seconds since 1970."""
        return int(dt.datetime.combine(self.as_of, dt.time(), dt.UTC).timestamp())


class RowFormat:
    """How the rows of one contract are read.

    Attributes:
        key: Encodes a customer's key.
        features: The features in the contract's order.
        views: The store's feature views that have any of them, with those features. A version
            of an earlier contract is read from the views of today.
    """

    def __init__(
        self, contract: Contract, stored: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.key = entity_key(contract)
        self.features = tuple(contract.features)
        own = {name: view.features for name, view in contract.feature_views.items()}
        self.views = {
            name: kept
            for name, features in (own if stored is None else stored).items()
            if (kept := tuple(feature for feature in features if feature in contract.features))
        } or own
        self._views = list(self.views.values())
        self._held = [frozenset(features) for features in self._views]
        held = frozenset().union(*self._held)
        self._lacking = tuple(feature for feature in self.features if feature not in held)
        # Nearly all customers have the same moments.
        self._ages = lru_cache(maxsize=1024)(self._ages_of)

    def gathered(self, cells: Iterable[Cell]) -> Found:
        """The rows of the customers that these cells are of."""
        found: Found = {}
        for view, key, feature, value, moment in cells:
            if key not in found:
                found[key] = dict.fromkeys(self.features), [0] * len(self._views)
            values, moments = found[key]
            # What a view no longer has stays in its table.
            if feature in self._held[view]:
                moments[view] = moment if isinstance(moment, int) else _seconds(moment)
                values[feature] = decoded(value)
        return found

    def rows(self, keys: Sequence[bytes], found: Found, month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer."""
        newest = month.moment
        rows: list[OnlineRow | None] = []
        for key in keys:
            row = None
            values, moments = found.get(key, ({}, []))
            if any(moments):
                row = OnlineRow(values, *self._ages(tuple(moments), newest))
            rows.append(row)
        return rows

    def _ages_of(self, moments: tuple[int, ...], newest: int) -> tuple[dt.date, tuple[str, ...]]:
        """The month of the oldest row, and the features whose row is older than `newest`."""
        oldest = min(moment for moment in moments if moment)
        behind = [
            feature
            for features, moment in zip(self._views, moments, strict=True)
            if moment < newest
            for feature in features
        ]
        behind += self._lacking
        return dt.datetime.fromtimestamp(oldest, dt.UTC).date(), tuple(behind)


def _seconds(moment: str) -> int:
    """A moment as older versions of Feast write it to SQLite: text, in UTC."""
    read = dt.datetime.fromisoformat(moment)
    return int((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp())


def entity_key(contract: Contract) -> Callable[[Key], bytes]:
    """Encodes a customer's key as Feast does (serialization version 3): name, then value."""
    name = contract.entity.column.encode()
    start = struct.pack("<III", 1, STRING, len(name)) + name
    if contract.entity.dtype == "integer":
        head = start + struct.pack("<II", INTEGER, 8)
        return lambda key: head + struct.pack("<q", int(key))
    head = start + struct.pack("<I", STRING)

    def text(key: Key) -> bytes:
        value = str(key).encode()
        return head + struct.pack("<I", len(value)) + value

    return text


@lru_cache(maxsize=REMEMBERED)
def decoded(value: bytes | None) -> FeatureValue:
    """A value of Feast's protobuf message `Value`: one field, or empty for null.

    Raises:
        StoreDown: a field of another kind.
    """
    if not value:
        return None
    tag = value[0]
    if tag == 0x12:  # noqa: PLR2004 - string_val: a length, then UTF-8
        _, start = _varint(value, 1)
        return value[start:].decode()
    if tag == 0x29:  # noqa: PLR2004 - double_val
        return float(struct.unpack_from("<d", value, 1)[0])
    if tag == 0x35:  # noqa: PLR2004 - float_val
        return float(struct.unpack_from("<f", value, 1)[0])
    if tag in (0x18, 0x20, 0x38):  # int32_val, int64_val, bool_val
        number, _ = _varint(value, 1)
        if tag == 0x38:  # noqa: PLR2004
            return bool(number)
        if number >> 63:
            return number - (1 << 64)
        return number
    raise StoreDown(
        f"The online store contains a value of an unknown type ({value[:8]!r}): materialize the"
        " views again."
    )


@lru_cache(maxsize=256)
def seconds_of(timestamp: bytes | None) -> int:
    """The seconds of Feast's protobuf message `Timestamp`; 0 without one."""
    if timestamp and timestamp[0] == 0x08:  # noqa: PLR2004
        return _varint(timestamp, 1)[0]
    return 0


def encoded(value: FeatureValue) -> bytes:
    """A value as Feast's protobuf message `Value`; null and NaN are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return b""
    if isinstance(value, bool):
        return b"\x38" + bytes([value])
    if isinstance(value, int):
        return b"\x20" + _as_varint(value & (1 << 64) - 1)
    if isinstance(value, float):
        return b"\x29" + struct.pack("<d", value)
    text = value.encode()
    return b"\x12" + _as_varint(len(text)) + text


def encoded_seconds(seconds: int) -> bytes:
    """Whole seconds as Feast's protobuf message `Timestamp`."""
    if seconds:
        return b"\x08" + _as_varint(seconds & (1 << 64) - 1)
    return b""


def field_name(view: str, feature: str) -> bytes:
    """The field of a Redis hash for a feature: 32 bits of murmur3 of both names."""
    return mmh3.hash(f"{view}:{feature}", signed=False).to_bytes(4, "little")


def _as_varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _varint(value: bytes, start: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = value[start]
        number |= (byte & 0x7F) << shift
        start += 1
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no continuation bit
            return number, start
        shift += 7
