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
def spine(month):
    """What was asked for: 60 members in January and 50 of them in February, with label and slice."""
    rows = pd.concat([month(JANUARY, 60, seed=1), month(FEBRUARY, 50, seed=2)], ignore_index=True)
    return rows[["member", "as_of", "label", "region"]]


@pytest.fixture
def joined(gym, month):
    """What the feature store answered."""
    rows = pd.concat([month(JANUARY, 60, seed=1), month(FEBRUARY, 50, seed=2)], ignore_index=True)
    return rows[["member", "as_of", *gym.features]]


@pytest.fixture
def window(gym):
    return choose_window(dict.fromkeys((JANUARY, FEBRUARY), Classes(1000, 1000)), gym.policy)


def test_the_holdout_is_decided_by_the_first_64_bits_of_the_sha256_of_salt_and_entity():
    entities = [f"m{n}" for n in range(500)]
    quarter = [hashlib.sha256(f"salt{entity}".encode()).digest()[0] < 64 for entity in entities]
    assert in_holdout(entities, "salt", 0.25).tolist() == quarter
    assert in_holdout(entities, "salt", 0.25).dtype == np.bool_


@given(ENTITIES, ENTITIES, st.text(min_size=1, max_size=5), st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=30)
def test_an_entity_never_moves_whoever_comes_beside_it(some, others, salt, fraction):
    alone = dict(zip(some, in_holdout(some, salt, fraction), strict=True))
    together = dict(
        zip([*others, *some], in_holdout([*others, *some], salt, fraction), strict=True)
    )
    assert {entity: together[entity] for entity in some} == alone


@given(ENTITIES, st.text(min_size=1, max_size=5), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=30)
def test_a_larger_fraction_only_adds_to_the_holdout(entities, salt, one, other):
    small, large = sorted((one, other))
    assert not (in_holdout(entities, salt, small) & ~in_holdout(entities, salt, large)).any()


@given(st.lists(st.integers(0, 10**6), max_size=20))
@settings(deadline=None, max_examples=30)
def test_an_integer_key_and_its_digits_as_text_are_one_entity(numbers):
    texts, typed = [str(number) for number in numbers], pd.Series(numbers, dtype="Int64")
    assert in_holdout(numbers, "s", 0.5).tolist() == in_holdout(texts, "s", 0.5).tolist()
    assert in_holdout(typed, "s", 0.5).tolist() == in_holdout(texts, "s", 0.5).tolist()
    assert entity_hashes(typed).tolist() == entity_hashes(texts).tolist()


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.5, 0.9])
def test_the_share_of_the_holdout_is_close_to_the_fraction(fraction):
    share = in_holdout([f"m{n}" for n in range(20_000)], "salt", fraction).mean()
    assert share == pytest.approx(fraction, abs=4 * np.sqrt(fraction * (1 - fraction) / 20_000))


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


def test_another_salt_draws_an_unrelated_holdout():
    entities = [f"m{n}" for n in range(20_000)]
    both = (in_holdout(entities, "one", 0.25) & in_holdout(entities, "two", 0.25)).mean()
    assert both == pytest.approx(1 / 16, abs=0.006)


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


def test_the_order_of_the_answer_and_of_the_question_does_not_matter(gym, spine, joined, window):
    first = assemble(gym, spine, joined, window)
    mixed = assemble(
        gym, spine.sample(frac=1, random_state=1), joined.sample(frac=1, random_state=2), window
    )
    assert mixed.digest == first.digest
    pd.testing.assert_frame_equal(mixed.frame, first.frame)


def test_the_dtype_in_which_the_store_answers_does_not_matter(gym, spine, joined, window):
    loose = joined.assign(
        visits=joined["visits"].astype("float64"),
        autopay=joined["autopay"].astype(object).where(joined["autopay"].notna(), None),
        tier=joined["tier"].astype("string"),
    )
    assert assemble(gym, spine, loose, window).digest == assemble(gym, spine, joined, window).digest


def test_a_row_that_the_store_drops_is_an_error(gym, spine, joined, window):
    with pytest.raises(IntegrityError, match=r"109 rows for 110 \(0 repeated\)"):
        assemble(gym, spine, joined.iloc[1:], window)


def test_a_row_that_the_store_repeats_in_place_of_another_is_an_error(gym, spine, joined, window):
    with pytest.raises(IntegrityError, match=r"110 rows for 110 \(1 repeated\)"):
        assemble(gym, spine, pd.concat([joined.iloc[1:], joined.iloc[[5]]]), window)


def test_a_row_of_somebody_else_is_an_error(gym, spine, joined, window):
    other = joined.copy()
    other.loc[0, "member"] = "nobody"
    with pytest.raises(IntegrityError, match="1 of 110 rows for other"):
        assemble(gym, spine, other, window)


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
    policy = gym.policy.training
    expected = in_holdout(sides[0].index, policy.salt, policy.holdout_fraction)
    for side in sides:
        assert side[sides[0].index].tolist() == expected.tolist()


def test_the_first_month_has_no_forward_rows(gym, month, dataset_of):
    assert dataset_of(gym, month(JANUARY, 40)).forward_rows().empty


def test_entity_hashes_are_sorted_unique_and_can_be_intersected():
    hashes = entity_hashes(["b", "a", "b", "c"])
    assert (len(hashes), hashes.dtype) == (3, np.uint64)
    assert (np.diff(hashes.astype(object)) > 0).all()
    assert len(np.intersect1d(hashes, entity_hashes(["c", "d"]))) == 1
    assert int.from_bytes(hashlib.sha256(b"a").digest()[:8]) in hashes.tolist()


@given(ENTITIES, ENTITIES)
@settings(deadline=None, max_examples=30)
def test_who_was_trained_on_is_told_row_by_row(trained, asked):
    seen = {str(entity) for entity in trained}
    rows = pd.Series([*asked, *trained], dtype=object)
    told = trained_on(rows, entity_hashes(trained))
    assert told.tolist() == [str(entity) in seen for entity in rows]
    assert told.dtype == np.bool_
