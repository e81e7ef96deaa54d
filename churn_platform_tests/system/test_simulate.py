"""`churn simulate`: files that the loop takes in as they are, and never over somebody's own."""

import json
import shutil

import pandas as pd
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.cli.demo import read_truth, write_simulation
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.ingestion.drop import find_drops, open_drop
from churn_platform.ingestion.validation import validate
from churn_platform.simulator import SCENARIOS, simulate
from churn_platform_tests.small_business import DECLARED, make_home
from churn_platform_tests.system.test_demo import churn_alone

SHIPPED = default_contract_path()


def written(out, name, months=4, users=120, contract=SHIPPED):
    return write_simulation(out, SCENARIOS[name], contract, users=users, months=months, seed=3)


def test_the_help_lists_every_scenario_with_its_line():
    told = churn_alone("simulate", "--help")
    said = " ".join(told.out.split())
    assert told.code == 0
    for name, scenario in SCENARIOS.items():
        assert f"{name} {scenario.summary}" in said


def test_the_drops_are_what_the_simulator_drew_and_the_contract_takes_them_in(tmp_path):
    truth = written(tmp_path / "out", "sudden-shift")
    contract = read_contract(tmp_path / "out" / "contract.yaml")
    drops = find_drops(tmp_path / "out", contract)
    months = list(simulate(contract, 120, 4, 3, scenario=SCENARIOS["sudden-shift"]))
    assert [drop.as_of for drop in drops] == [month.as_of for month in months]
    assert all(drop.marked_complete for drop in drops)
    for drop, month in zip(drops, months, strict=True):
        found = validate(contract, drop, today=drop.as_of, known=None)
        assert not found.refusals
        tables = {name: table.valid for name, table in found.tables.items()}
        assert set(tables) == set(month.tables)
        key, label = contract.entity.column, contract.label
        churned = tables[label.table].set_index(key)[label.column]
        assert churned.to_dict() == month.tables[label.table].set_index(key)[label.column].to_dict()
    assert truth.months == tuple(month.truth for month in months)
    assert json.loads((tmp_path / "out" / "truth.json").read_text()) == truth.as_json()


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    written(tmp_path / "one", "leak", months=3)
    written(tmp_path / "two", "leak", months=3)
    files = [
        path.relative_to(tmp_path / "one")
        for path in (tmp_path / "one").rglob("*")
        if path.is_file()
    ]
    assert len(files) == 3 * 7 + 2
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_late_labels_bring_a_contract_whose_labels_mature_a_month_later_and_drops_of_labels_alone(
    tmp_path,
):
    written(tmp_path, "late-labels", months=3)
    contract = read_contract(tmp_path / "contract.yaml")
    assert contract == SCENARIOS["late-labels"].contract(read_contract(SHIPPED))
    assert (contract.label.period, read_contract(SHIPPED).label.period) == ("after", "before")
    assert all(contract.label.table not in drop.files for drop in find_drops(tmp_path, contract))
    late = find_drops(tmp_path / "labels", contract)
    assert [(drop.as_of.isoformat(), list(drop.files)) for drop in late] == [
        ("2024-01-31", [contract.label.table]),
        ("2024-02-29", [contract.label.table]),
    ]


def test_a_correction_can_be_ingested_over_what_it_corrects(tmp_path):
    written(tmp_path / "out", "corrections")
    home = make_home(tmp_path / "home", read_contract(SHIPPED).as_mapping())
    for drop in find_drops(tmp_path / "out", home.contract):
        home.ingestion.accept(drop.folder, drop.as_of)
        home.ingestion.publish(drop.as_of)
    [correction] = find_drops(tmp_path / "out" / "corrections", home.contract)
    [path] = correction.files.values()
    before = (home.drops / "2024-03-31" / path.name).read_bytes()
    home.ingestion.accept(correction.folder, correction.as_of)
    after = (home.drops / "2024-03-31" / path.name).read_bytes()
    assert after == path.read_bytes() != before
    home.ingestion.publish(correction.as_of)
    assert [one.kind for one in home.lake.deliveries(correction.as_of)] == [
        "first",
        "correction",
    ]
    assert pd.read_csv(path).shape == pd.read_csv(tmp_path / "out" / "2024-03-31" / path.name).shape


def test_a_broken_file_is_refused_with_a_sentence_and_its_repair_is_not(tmp_path):
    written(tmp_path, "broken-file")
    contract = read_contract(SHIPPED)
    _, _, broken, _ = find_drops(tmp_path, contract)
    [fault] = validate(contract, broken, today=broken.as_of, known=None).refusals
    assert read_truth(tmp_path).months[2].drivers[0] in fault.sentence()
    [repair] = find_drops(tmp_path / "repairs", contract)
    assert validate(contract, repair, today=repair.as_of, known=None).refusals == ()


def test_another_business_brings_its_own_contract(tmp_path):
    home = make_home(tmp_path / "home")
    written(tmp_path / "out", "quiet", months=2, contract=home.contract_path)
    assert (tmp_path / "out" / "contract.yaml").read_text() == home.contract_path.read_text()
    drop = open_drop(
        tmp_path / "out" / "2024-01-31",
        find_drops(tmp_path / "out", home.contract)[0].as_of,
        home.contract,
    )
    assert set(drop.files) == set(DECLARED["tables"])


def test_an_earlier_simulation_is_replaced_whole_even_one_that_was_cut_off(tmp_path):
    written(tmp_path, "late-labels")
    (tmp_path / "2024-01-31" / "_SUCCESS").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    written(tmp_path, "quiet", months=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2024-01-31", "2024-02-29", "contract.yaml", "notes.txt", "truth.json",
    ]  # fmt: skip
    assert read_truth(tmp_path).scenario == "quiet"


@pytest.mark.parametrize("name", ["drops.csv", "truth.json"])
def test_a_folder_with_somebodys_own_files_is_refused_and_left_as_it_was(tmp_path, name):
    (tmp_path / name).write_text("{}")
    told = churn_alone("simulate", tmp_path, "--scenario", "quiet")
    assert (told.code, told.out) == (2, "")
    assert str(tmp_path) in told.err
    assert told.err.endswith("[TARGET_EXISTS]\n")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="out is a file"):
        written(tmp_path / "out", "quiet")


def test_a_wrong_number_costs_nothing_that_is_there(tmp_path):
    written(tmp_path, "quiet", months=2)
    told = churn_alone("simulate", tmp_path, "--users", "49")
    assert told.code == 2
    assert "users is 49" in told.err
    assert told.err.endswith("[USAGE_INVALID]\n")
    assert (tmp_path / "2024-02-29" / "_SUCCESS").exists()


def test_an_unknown_scenario_is_refused_with_those_there_are(tmp_path):
    told = churn_alone("simulate", tmp_path / "out", "--scenario", "quite")
    assert told.code == 2
    assert "no scenario 'quite': choose one of quiet, " in told.err
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_was_written_what_the_loop_should_do_and_what_to_type_next(tmp_path):
    out = tmp_path / "out"
    told = churn_alone(
        "simulate", out, "--scenario", "broken-file", "--users", "60", "--months", "3"
    )
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert lines[0] == f"broken-file: {SCENARIOS['broken-file'].summary}."
    assert lines[1] == "  2024-01-31"
    assert lines[3].startswith("  2024-03-31: ")
    assert " lacks the column " in lines[3]
    assert lines[4].startswith("  repairs/2024-03-31: 2024-03-31 again, with the column ")
    assert lines[5] == f"The loop should {SCENARIOS['broken-file'].loop_should}."
    assert lines[6] == f"The truth is in {out / 'truth.json'}. Next: `churn demo --data {out}`."


def test_a_folder_without_a_simulations_truth_has_none(tmp_path):
    assert read_truth(tmp_path) is None
    (tmp_path / "truth.json").write_text('["something else"]')
    assert read_truth(tmp_path) is None
    shutil.rmtree(tmp_path)
    assert read_truth(tmp_path) is None
