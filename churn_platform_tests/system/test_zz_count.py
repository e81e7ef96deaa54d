import pytest
from churn_platform_tests.system.crash_points import points_of
from churn_platform_tests.system.test_crashes import commands  # noqa: F401
pytestmark = pytest.mark.slow
def test_count(commands, tmp_path):  # noqa: F811
    with open("/tmp/audit/points.txt", "w") as out:
        for name, command in commands.items():
            print(name, len(points_of(command, tmp_path)), file=out, flush=True)
