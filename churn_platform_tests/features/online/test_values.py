"""Feast's own bytes, written and read by hand: each equal to what Feast makes of it."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import StoreDown
from churn_platform.features.feast_repository import import_feast
from churn_platform.features.online.rows import decoded, entity_key, field_name, seconds_of
from churn_platform_tests.small_business import declared


@pytest.mark.parametrize(
    ("dtype", "keys"), [("string", ["m00001", "", "ü" * 40]), ("integer", [0, 7, -3, 2**62])]
)
def test_keys_are_written_as_feast_writes_them(dtype, keys):
    import_feast()
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    write = entity_key(declared(entity={"column": "member", "dtype": dtype}))
    for key in keys:
        proto = Value(string_val=key) if dtype == "string" else Value(int64_val=key)
        assert write(key) == serialize_entity_key(
            EntityKey(join_keys=["member"], entity_values=[proto]), 3
        )


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("int32_val", [0, -1, 2**31 - 1]),
        ("float_val", [0.5, -2.25]),
    ],
)
def test_values_of_other_widths_are_read_as_feast_wrote_them(field, values):
    import_feast()
    from feast.protos.feast.types.Value_pb2 import Value

    for value in values:
        found = decoded(Value(**{field: value}).SerializeToString())
        assert (found, type(found)) == (value, type(value))
    assert decoded(Value().SerializeToString()) is None
    with pytest.raises(StoreDown):
        decoded(struct.pack("<B", 0x7A) + b"abc")


@settings(deadline=None)  # the first example imports Feast
@given(view=st.text(max_size=12), feature=st.text(max_size=12))
def test_fields_are_named_as_feast_names_them(view, feature):
    import_feast()
    from feast.infra.online_stores.helpers import _mmh3

    assert field_name(view, feature) == _mmh3(f"{view}:{feature}")


def test_moments_are_read_as_feast_wrote_them():
    import_feast()
    from google.protobuf.timestamp_pb2 import Timestamp

    for seconds, nanos in ((1, 5), (2**40, 999_999_999), (0, 7)):
        assert seconds_of(Timestamp(seconds=seconds, nanos=nanos).SerializeToString()) == seconds
    assert seconds_of(None) == 0
