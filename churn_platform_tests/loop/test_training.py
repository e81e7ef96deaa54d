"""A training that no data supports."""

from churn_platform.loop.training import RefusedTraining
from churn_platform_tests.small_business import JANUARY, deliver, make_home, month_tables


def test_before_labels_mature_the_refusal_is_recorded(tmp_path):
    home = make_home(tmp_path / "home")
    tables = month_tables(JANUARY, 100)
    deliver(home, JANUARY, {name: tables[name] for name in ("members", "visits")})
    home.ingestion.publish(JANUARY)
    home.training_datasets.build(JANUARY)
    assert isinstance(home.candidate_training.train(JANUARY), RefusedTraining)
    [refused] = home.ledger.receipts("training refused")
    assert refused.subject == JANUARY.isoformat()
    assert refused.evidence["policy"] == home.contract.policy_hash
