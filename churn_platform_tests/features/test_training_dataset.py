"""Which months train, who is the holdout for ever, and that no row is lost or invented on the way."""

import datetime as dt
import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import IntegrityError
from churn_platform.features.training_dataset import assemble, entity_hashes, in_holdout, trained_on
from churn_platform.lake.window import Classes, choose_window

JANUARY, FEBRUARY, MARCH, APRIL = (
    dt.date(2024, m, d) for m, d in ((1, 31), (2, 29), (3, 31), (4, 30))
)
ENTITIES = st.lists(st.text(min_size=1, max_size=8) | st.integers(), unique_by=str, max_size=30)


@pytest.fixture
def rows(month):
    """60 members in January and 50 of them in February."""
    return pd.concat([month(JANUARY, 60, seed=1), month(FEBRUARY, 50, seed=2)], ignore_index=True)


@pytest.fixture
def spine(rows):
    """What was asked for, with label and slice."""
    return rows[["member", "as_of", "label", "region"]]


@pytest.fixture
def joined(gym, rows):
    """What the feature store answered."""
    return rows[["member", "as_of", *gym.features]]


@pytest.fixture
def window(gym):
    return choose_window(dict.fromkeys((JANUARY, FEBRUARY), Classes(1000, 1000)), gym.policy)


@given(ENTITIES, ENTITIES, st.text(min_size=1, max_size=5), st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=30)
def test_an_entity_never_moves_whoever_comes_beside_it(some, others, salt, fraction):
    alone = dict(zip(some, in_holdout(some, salt, fraction), strict=True))
    together = dict(
        zip([*others, *some], in_holdout([*others, *some], salt, fraction), strict=True)
    )
    assert {entity: together[entity] for entity in some} == alone


@given(st.lists(st.integers(0, 10**6), max_size=20))
@settings(deadline=None, max_examples=30)
def test_an_integer_key_and_its_digits_as_text_are_one_entity(numbers):
    texts, typed = [str(number) for number in numbers], pd.Series(numbers, dtype="Int64")
    assert in_holdout(numbers, "s", 0.5).tolist() == in_holdout(texts, "s", 0.5).tolist()
    assert in_holdout(typed, "s", 0.5).tolist() == in_holdout(texts, "s", 0.5).tolist()
    assert entity_hashes(typed).tolist() == entity_hashes(texts).tolist()


def test_a_row_is_hashed_like_every_other_row_of_its_entity():
    entities = pd.Series(["a", "b", "a", "c", "b", "a"], index=[9, 9, 3, 2, 1, 0])
    plain = [int.from_bytes(hashlib.sha256(f"salt{e}".encode()).digest()[:8]) for e in entities]
    for limit in plain:
        assert in_holdout(entities, "salt", (limit + 4096) / 2**64).tolist() == [
            h < limit + 4096 for h in plain
        ]
    assert in_holdout(entities, "salt", 1.0).all()
    assert not in_holdout(entities, "salt", 0.0).any()
    assert in_holdout([], "salt", 0.5).tolist() == []


def test_rows_in_are_rows_out_each_with_its_own_features(gym, spine, joined, window):
    dataset = assemble(gym, spine, joined.sample(frac=1, random_state=3), window)
    assert dataset.frame.columns.tolist() == [
        "member", "as_of", "monthly_fee", "tier", "autopay", "visits", "minutes", "region", "label", "holdout",
    ]  # fmt: skip
    expected = joined.merge(spine, on=["member", "as_of"]).sort_values(
        ["member", "as_of"], ignore_index=True
    )
    assert len(dataset.frame) == 110
    for column in ["member", "as_of", *gym.features, "region", "label"]:
        pd.testing.assert_series_equal(dataset.frame[column], expected[column], check_dtype=False)


def test_neither_order_nor_dtype_of_the_answer_matters(gym, spine, joined, window):
    first = assemble(gym, spine, joined, window)
    loose = joined.sample(frac=1, random_state=2).assign(
        visits=joined["visits"].astype("float64"),
        autopay=joined["autopay"].astype(object).where(joined["autopay"].notna(), None),
        tier=joined["tier"].astype("string"),
    )
    mixed = assemble(gym, spine.sample(frac=1, random_state=1), loose, window)
    assert mixed.digest == first.digest
    pd.testing.assert_frame_equal(mixed.frame, first.frame)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rows: rows.iloc[1:], r"109 rows for 110 \(0 repeated\)"),
        (
            lambda rows: pd.concat([rows.iloc[1:], rows.iloc[[5]]]),
            r"110 rows for 110 \(1 repeated\)",
        ),
        (
            lambda rows: rows.assign(member=["nobody", *rows["member"][1:]]),
            "1 of 110 rows for other",
        ),
    ],
)
def test_a_lost_a_repeated_and_a_strange_row_are_errors(gym, spine, joined, window, change, fault):
    with pytest.raises(IntegrityError, match=fault):
        assemble(gym, spine, change(joined), window)


def test_the_digest_changes_with_any_cell(gym, spine, joined, window):
    before = assemble(gym, spine, joined, window).digest
    seen = {before}
    for column, value in (
        ("visits", 99),
        ("minutes", None),
        ("tier", "plus"),
        ("monthly_fee", 0.0),
        ("autopay", None),
    ):
        row = int(joined.index[joined[column].notna() & (joined[column] != value)][-1])
        changed = joined.copy()
        changed.loc[row, column] = value
        seen.add(assemble(gym, spine, changed, window).digest)
    for column in ("label", "region"):
        flipped = spine.copy()
        flipped.loc[3, column] = not flipped.loc[3, column] if column == "label" else "west"
        seen.add(assemble(gym, flipped, joined, window).digest)
    assert len(seen) == 8


def test_training_holdout_and_forward_rows_never_share_an_entity(gym, spine, joined, window):
    dataset = assemble(gym, spine, joined, window)
    train, holdout, forward = (
        dataset.training_rows(),
        dataset.holdout_rows(),
        dataset.forward_rows(),
    )
    held = set(dataset.frame.loc[dataset.frame["holdout"], "member"])
    assert set(train["as_of"]) == set(holdout["as_of"]) == {"2024-02-29"}
    assert set(forward["as_of"]) == {"2024-01-31"}
    assert len(train) + len(holdout) == 50
    assert len(holdout) > 5
    assert not (set(train["member"]) | set(forward["member"])) & held
    assert set(holdout["member"]) <= held
    assert train.index.tolist() == list(range(len(train)))


def test_the_salt_and_the_fraction_of_the_policy_decide(declare, spine, joined, window):
    def held(**training):
        return set(
            assemble(declare(policy={"training": training}), spine, joined, window).holdout_rows()[
                "member"
            ]
        )

    assert held(salt="a") != held(salt="b")
    assert held(salt="a", holdout_fraction=0.1) < held(salt="a", holdout_fraction=0.6)


def test_a_customer_stays_on_the_same_side_of_the_holdout_in_every_month_and_window(
    gym, month, dataset_of
):
    january, february = month(JANUARY, 400, seed=1), month(FEBRUARY, 400, seed=2)
    sides = [
        dataset_of(gym, *months).frame.drop_duplicates("member").set_index("member")["holdout"]
        for months in ((january,), (january, february), (february,))
    ]
    assert dataset_of(gym, january).forward_rows().empty
    policy = gym.policy.training
    expected = in_holdout(sides[0].index, policy.salt, policy.holdout_fraction)
    for side in sides:
        assert side[sides[0].index].tolist() == expected.tolist()


@given(ENTITIES, ENTITIES)
@settings(deadline=None, max_examples=30)
def test_who_was_trained_on_is_told_row_by_row(trained, asked):
    hashes = entity_hashes([*trained, *trained])
    own = {int.from_bytes(hashlib.sha256(str(one).encode()).digest()[:8]) for one in trained}
    assert (hashes.tolist(), hashes.dtype) == (sorted(own), np.uint64)
    rows = pd.Series([*asked, *trained], dtype=object)
    seen = {str(entity) for entity in trained}
    assert trained_on(rows, hashes).tolist() == [str(entity) in seen for entity in rows]
