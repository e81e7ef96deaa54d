"""Which snapshot a moment reaches, against the definition."""

import datetime as dt

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.features.feast_repository import import_feast

DAYS = [dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31)]
moments = st.datetimes(dt.datetime(2023, 12, 1), dt.datetime(2024, 6, 1)).map(
    lambda m: pd.Timestamp(m, tz="UTC")
)
exact = st.sampled_from(DAYS).map(lambda day: pd.Timestamp(day, tz="UTC"))
near = st.tuples(exact, st.integers(-1, 1), st.sampled_from([0, 27])).map(
    lambda t: t[0] + pd.Timedelta(days=t[2], microseconds=t[1])
)


@settings(deadline=None)
@given(
    st.sets(st.sampled_from(DAYS)),
    st.lists(moments | exact | near, max_size=6, unique=True),
    st.sampled_from([None, dt.timedelta(0), dt.timedelta(days=27), dt.timedelta(days=40)]),
)
def test_a_moment_reaches_what_is_not_later_and_not_older_than_its_time_to_live(days, asked, ttl):
    own = {
        moment: [
            day
            for day in days
            if pd.Timestamp(day, tz="UTC") <= moment
            and (not ttl or moment <= pd.Timestamp(day, tz="UTC") + ttl)
        ]
        for moment in asked
    }
    # Imported as the product does: `from feast import ...` alone takes 3 s longer.
    import_feast()
    from churn_platform.features.offline_store import reached

    found = reached(sorted(days), asked, ttl)
    if any(len(reach) > 1 for reach in own.values()):
        assert found is None
    else:
        assert found == {moment: reach[0] for moment, reach in own.items() if reach}
