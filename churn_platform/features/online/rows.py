"""A customer's row in the online store: Feast's encoding of it, and what a reader answers."""

import datetime as dt
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract

Key = str | int
STRING = 2
INTEGER = 4
"""Feast's ValueType of an entity key."""
KEY_VERSION = 3
REMEMBERED = 65_536


class OnlineRow(NamedTuple):
    """What the online store holds of one customer.

    Attributes:
        values: Every feature of the contract in its order; None is a null or a missing row.
        as_of: The month of the oldest feature view's row.
        behind: Features whose view has no row, or a row of an older month than the newest.
    """

    values: dict[str, Any]
    as_of: dt.date
    behind: tuple[str, ...]


def all_older(rows: Sequence[OnlineRow | None], contract: Contract) -> bool:
    """Whether no row is of the newest month: the store has lost it."""
    return all(row is None or len(row.behind) == len(contract.features) for row in rows)


@dataclass(frozen=True)
class Month:
    """The newest month that was written completely, and the store that has it."""

    as_of: dt.date
    store: str

    @property
    def moment(self) -> int:
        """The instant of its rows, in seconds since 1970."""
        return int(dt.datetime.combine(self.as_of, dt.time(), dt.UTC).timestamp())


Values = Callable[[Iterable[Any]], dict[str, Any]]


def values_of(contract: Contract) -> Values:
    """Names a customer's values, given view by view, in the contract's order."""
    held = [feature for view in contract.feature_views.values() for feature in view.features]
    features = tuple(contract.features)
    places = [held.index(name) for name in features]
    if list(features) == held:
        return lambda values: dict(zip(features, values, strict=True))

    def sorted_out(values: Iterable[Any]) -> dict[str, Any]:
        found = list(values)
        return {name: found[place] for name, place in zip(features, places, strict=True)}

    return sorted_out


Ages = Callable[[tuple[int, ...], int], tuple[dt.date, tuple[str, ...]]]


def ages_of(contract: Contract) -> Ages:
    """Finds how old a customer's rows are, from the moment of each view's row (0: no row).

    The answers are cached: nearly all customers have the same moments.
    """
    views = tuple(tuple(view.features) for view in contract.feature_views.values())

    @lru_cache(maxsize=1024)
    def ages(moments: tuple[int, ...], newest: int) -> tuple[dt.date, tuple[str, ...]]:
        oldest = min(moment for moment in moments if moment)
        late = [
            name
            for features, moment in zip(views, moments, strict=True)
            if moment < newest
            for name in features
        ]
        return dt.datetime.fromtimestamp(oldest, dt.UTC).date(), tuple(late)

    return ages


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
def decoded(value: bytes | None) -> str | float | bool | None:
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


def encoded(value: str | float | bool | None) -> bytes:  # noqa: FBT001 - any feature
    """A value as Feast's protobuf message `Value`; null and NaN are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return b""
    if isinstance(value, bool):
        if value:
            return b"\x38\x01"
        return b"\x38\x00"
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
    data = f"{view}:{feature}".encode()
    hashed = 0
    padded = data + bytes(-len(data) % 4)
    for place in range(0, len(padded), 4):
        part = (
            _rotated(int.from_bytes(padded[place : place + 4], "little") * 0xCC9E2D51, 15)
            * 0x1B873593
        )
        hashed ^= part & 0xFFFFFFFF
        if place + 4 <= len(data):
            hashed = (_rotated(hashed, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    hashed ^= len(data)
    hashed = ((hashed ^ hashed >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    hashed = ((hashed ^ hashed >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return (hashed ^ hashed >> 16).to_bytes(4, "little")


def _rotated(number: int, bits: int) -> int:
    number &= 0xFFFFFFFF
    return (number << bits | number >> (32 - bits)) & 0xFFFFFFFF


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
