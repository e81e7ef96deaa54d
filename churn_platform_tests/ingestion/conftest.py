"""Fixtures that several tests of ingestion share."""

import pytest

from churn_platform_tests.small_business import make_home


@pytest.fixture
def home(tmp_path):
    """A gym without a month."""
    return make_home(tmp_path / "home")
