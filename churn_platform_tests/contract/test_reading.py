"""The contract file: its faults have file, line, dotted path and value."""

import re
from pathlib import Path

import pytest
import yaml

import churn_platform
from churn_platform.base.errors import ContractError
from churn_platform.contract.reading import default_contract_path, read_contract, read_policy
from churn_platform_tests.small_business import DECLARED, declared

LINES = """\
name: gym
model_name: gym_churn
entity: {column: member}
tables:
  members:
    columns:
      months: {dtype: integer}
      plan:
        dtype: category
        values: [basic, plus]
  leavers:
    columns:
      has_left: {dtype: boolean}
label: {table: leavers, column: has_left}
feature_views:
  members_fv:
    table: members
    features:
      - months
      - plan
"""


@pytest.fixture
def fault(tmp_path):
    """The sentence about a file made from the sound one above by one replacement."""

    def of(old, new):
        assert LINES.count(old) == 1
        path = tmp_path / "contract.yaml"
        path.write_text(LINES.replace(old, new), encoding="utf-8")
        with pytest.raises(ContractError) as caught:
            read_contract(path)
        return str(caught.value).replace(f"{path}:", "contract.yaml:")

    return of


def test_the_shipped_contract_is_inside_the_package():
    assert default_contract_path().is_relative_to(Path(churn_platform.__file__).parent)
    assert read_contract(default_contract_path()).name == "streamflow"


def test_a_contract_is_read_as_it_is_written(tmp_path):
    (tmp_path / "contract.yaml").write_text(yaml.safe_dump(DECLARED), encoding="utf-8")
    assert read_contract(tmp_path / "contract.yaml") == declared()
    (tmp_path / "lines.yaml").write_text(LINES, encoding="utf-8")
    assert list(read_contract(tmp_path / "lines.yaml").features) == ["months", "plan"]


@pytest.mark.parametrize(
    ("old", "new", "start", "end"),
    [
        (
            "{dtype: integer}",
            "{dtype: text}",
            "contract.yaml:7: tables.members.columns.months.dtype: ",
            "'text')",
        ),
        (
            "dtype: category",
            "dtype: 7",
            "contract.yaml:9: tables.members.columns.plan.dtype: ",
            "(found 7)",
        ),
        (
            "- plan",
            "- two words",
            "contract.yaml:20: feature_views.members_fv.features.1: ",
            "(found 'two words')",
        ),
        (
            "{column: member}",
            "{column: member, colour: 3}",
            "contract.yaml:3: entity.colour: ",
            "(found 3)",
        ),
        (
            "name: gym\n",
            "name: gym\ncadence: year\n",
            "contract.yaml:2: cadence: ",
            "(found 'year')",
        ),
        ("table: leavers, ", "", "contract.yaml:14: label.table: ", "required"),
    ],
)
def test_a_fault_names_file_line_dotted_path_and_value(fault, old, new, start, end):
    found = fault(old, new)
    assert found.startswith(start)
    assert found.partition(". Meaning: ")[0].endswith(end)
    assert "\n" not in found


def test_a_rule_over_the_whole_contract_says_where_in_words(fault):
    assert fault("table: leavers", "table: goners") == (
        "contract.yaml:1: (top level): label.table: there is no table 'goners'"
    )


def test_a_rule_of_one_column_stands_at_the_column(fault):
    assert fault("{dtype: integer}", "{dtype: integer, min: 9, max: 2}") == (
        "contract.yaml:7: tables.members.columns.months: min 9 is above max 2"
    )


def test_every_fault_has_its_own_line(tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_text(LINES.replace("integer", "int").replace("boolean", "bool"), encoding="utf-8")
    with pytest.raises(ContractError) as caught:
        read_contract(path)
    where = [
        line.removeprefix(f"{path}:").split(": ")[0] for line in str(caught.value).splitlines()
    ]
    assert where == ["7", "13"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: [gym", "not YAML"),
        (b"name: gym\n\tentity: member\n", "not YAML"),
        (b"description: 2024-13-01\n", "not YAML"),
        (b"name: \xe9t\xe9\n", "cannot be read as UTF-8 text"),
        (b"", "(top level)"),
        (b"- a list\n", "(top level)"),
    ],
)
def test_what_is_no_contract_at_all_is_one_sentence_that_names_the_file(tmp_path, content, said):
    path = tmp_path / "contract.yaml"
    path.write_bytes(content)
    with pytest.raises(ContractError) as caught:
        read_contract(path)
    assert str(caught.value).startswith(f"{path}:")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_get_one_and_a_folder_is_no_file(tmp_path):
    with pytest.raises(
        ContractError, match=r"nowhere\.yaml: there is no such contract; `churn init` writes one"
    ):
        read_contract(tmp_path / "nowhere.yaml")
    with pytest.raises(ContractError, match="cannot be read as UTF-8 text"):
        read_contract(tmp_path)


def test_a_key_that_comes_twice_is_named_with_both_lines(tmp_path, small_contract):
    path = tmp_path / "contract.yaml"
    twice = "policy:\n  promotion:\n    delta: 0.1\n    delta: 0.2\n"
    path.write_text(f"{twice}{LINES}name: other\n", encoding="utf-8")
    with pytest.raises(ContractError) as refused:
        read_contract(path)
    first, second = str(refused.value).splitlines()
    assert re.match(rf"{path}:4: policy\.promotion\.delta: .* line 3", first)
    assert re.match(rf"{path}:25: name: .* line 5", second)
    path.write_text(twice, encoding="utf-8")
    with pytest.raises(ContractError, match=r":4: policy\.promotion\.delta: .* line 3"):
        read_policy(path, small_contract)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("promotion: {delta: 0.1}", "no `policy:` section"),
        ("policy: {}\nname: gym", "name: only a `policy:` section"),
        ("policy: {promotion: {delta: 2}}", ":1: policy.promotion.delta: "),
        ("policy: {promotion: 3}", ":1: policy.promotion: "),
    ],
)
def test_a_policy_file_has_a_policy_section_alone_and_its_faults_their_place(
    tmp_path, small_contract, text, fact
):
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError) as refused:
        read_policy(path, small_contract)
    assert fact in str(refused.value)
    path.write_text("policy: {promotion: {delta: 0.3}}", encoding="utf-8")
    promotion = small_contract.policy.promotion.model_copy(update={"delta": 0.3})
    assert read_policy(path, small_contract).promotion == promotion
