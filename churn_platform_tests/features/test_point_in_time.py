"""Point-in-time joins through Feast against a join in plain Python, on random histories."""

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from churn_platform.features.feature_store import FeatureStore
from churn_platform.lake.lake import Lake
from churn_platform_tests.point_in_time import (
    answer,
    contract_with,
    histories,
    moments,
    publish,
    questions,
)

DTYPES = {"months": "Int64", "plan": "object", "has_app": "boolean", "hours": "float64"}


@pytest.mark.parametrize("key", ["string", "integer"])
def test_a_join_is_what_plain_python_says_in_values_types_and_order(key, tmp_path):
    store = FeatureStore(tmp_path / "feast", contract_with(key))

    # Without shrinking: it would take minutes of Feast to make a failing history smaller.
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(histories(key), questions(key), moments | st.just(pd.Timestamp("2030-01-01", tz="UTC")))
    def check(history, asked, known_at):
        with tempfile.TemporaryDirectory() as name:
            lake = Lake(Path(name), store.contract)
            publish(lake, history)
            spine = pd.DataFrame(asked, columns=["member", "as_of"])
            spine["as_of"] = [month.isoformat() for month in spine["as_of"]]
            found = store.historical(lake.view(known_at, as_at_scoring=True), spine)
        assert found[list(DTYPES)].dtypes.astype(str).to_dict() == DTYPES
        plain = found.astype(object).where(found.notna(), None)
        assert list(plain.itertuples(index=False, name=None)) == answer(history, asked, known_at)

    check()
