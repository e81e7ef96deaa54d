"""Twelve months in which the files change nearly every month, lived through by the command line."""

import asyncio
import datetime as dt
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from churn_platform.promotion import promotions
from churn_platform.services import Services
from churn_platform_tests.api_client import client, running
from churn_platform_tests.small_business import make_home, open_home
from churn_platform_tests.system.changing_business import (
    CONTRACT,
    ENDED,
    MONTHS,
    MOVED,
    NEW_COLUMN,
    NEW_TABLE,
    NEW_VALUE,
    PREFIXED,
    RELABELLED,
    RENAMED,
    SALTED,
    features_in,
    forgettable,
    key_of,
    label_files,
    month_files,
    write_files,
)
from churn_platform_tests.system.test_demo import Told, churn

pytestmark = pytest.mark.slow
PLAN = "tables.customers.columns.plan"
PROPOSED = {
    NEW_COLUMN: {"tables.usage.columns.logins", "feature_views.usage_fv"},
    RENAMED: {f"{PLAN}.renamed"},
    ENDED: {"tables.usage.columns.calls.until"},
    NEW_TABLE: {"tables.support", "feature_views.support_fv"},
    MOVED: {"tables.customers.parts.plans"},
    PREFIXED: {
        "tables.customers.key_spellings",
        "tables.usage.key_spellings",
        "tables.support.key_spellings",
        "tables.outcomes.key_spellings",
    },
    NEW_VALUE: {f"{PLAN}.values"},
}
"""The parts of the contract that each month's files ask to change."""
REFUSED = (RENAMED, ENDED, MOVED, NEW_VALUE)
"""The months whose files are refused under the contract of the month before."""
SERVED = (NEW_COLUMN, RENAMED, NEW_TABLE, PREFIXED, MONTHS[-1])
ROLLED_BACK = RENAMED
FORGOTTEN = NEW_VALUE
MOVED_HOUSE = RELABELLED
TRIED_OUT = (NEW_TABLE, MOVED_HOUSE)
RULE = "tenure < 6"


@dataclass
class Life:
    """One home and what was seen of it, month by month."""

    folder: Path
    home: Path
    proposed: dict[dt.date, set[str]] = field(default_factory=dict)
    refused: list[dt.date] = field(default_factory=list)
    production: dict[dt.date, int | None] = field(default_factory=dict)
    approved: list[int] = field(default_factory=list)
    forgotten: int | None = None

    def ask(self, *arguments: object) -> Told:
        return churn(*arguments, home=self.home)

    def do(self, *arguments: object) -> Told:
        """A command that must succeed."""
        told = self.ask(*arguments)
        assert told.code == 0, f"churn {arguments}: {told.out}{told.err}"
        return told

    def answer(self, *arguments: object) -> Any:
        """What a command answers as JSON."""
        return json.loads(self.do(*arguments, "--json").out)

    def opened(self) -> Services:
        return open_home(self.home)

    def delivered(self, kind: str, files: dict[str, pd.DataFrame], as_of: dt.date) -> Path:
        """Files of a month as CSV, without the customer whom the business has erased, too."""
        if self.forgotten is not None:
            gone = [key_of(self.forgotten, MONTHS[0]), key_of(self.forgotten, MONTHS[-1])]
            files = {stem: f[~f["customer"].isin(gone)] for stem, f in files.items()}
        return write_files(files, self.folder / kind / str(as_of))

    def live(self, as_of: dt.date) -> None:
        """A month: its files, the labels of the month before, and what people do."""
        self.edit(as_of)
        files = self.delivered("files", month_files(as_of), as_of)
        if self.ask("ingest", files, "--as-of", as_of).code != 0:
            self.refused.append(as_of)
        self.proposed[as_of] = self.update(files, as_of)
        self.do("ingest", files, "--as-of", as_of)
        before = [month for month in MONTHS if month < as_of][-1:]
        for month in before:
            labels = self.delivered("labels", label_files(month), month)
            self.proposed[as_of] |= self.update(labels, month)
            self.do("ingest", labels, "--as-of", month)
        self.run()
        decided = [d.as_of for d in self.opened().progress().decisions]
        new_labels = bool(before) and str(before[0]) not in decided
        asked = ("retrain", "--by", "Ann", "--reason", "The files changed.")
        if new_labels and self.ask(*asked).code == 0:
            self.run()
        pointer = self.opened().releases.pointer()
        self.production[as_of] = None if pointer is None else pointer.version

    def update(self, files: Path, as_of: dt.date) -> set[str]:
        """Accept what the files ask to change."""
        found = self.answer("contract", "update", "--from-drop", files, "--as-of", as_of, "--yes")
        assert found["refused"] == []
        return {change["where"] for change in found["changes"]}

    def edit(self, as_of: dt.date) -> None:
        """What no file can show, a person writes."""
        file = self.home / "contract.yaml"
        contract = yaml.safe_load(file.read_text(encoding="utf-8"))
        if as_of == RELABELLED:
            columns = contract["tables"]["outcomes"]["columns"]
            columns["has_left"]["until"] = as_of
            columns["cancelled"] = {"dtype": "boolean", "since": as_of}
            contract["label"] = {
                "table": "outcomes",
                "column": "cancelled",
                "horizon": {"days": 14},
                "since": as_of,
                "earlier": [{"column": "has_left", "horizon": {"months": 1}}],
            }
        elif as_of == SALTED:
            contract["policy"]["training"]["salt"] = "another"
        else:
            return
        file.write_text(yaml.safe_dump(contract, sort_keys=False), encoding="utf-8")

    def run(self) -> None:
        """`churn run`, and the approval of what waits for one."""
        self.do("run")
        waiting = self.opened().approvals.waiting()
        if waiting is not None and waiting[1] is None:
            self.approve(waiting[0].version)

    def approve(self, version: int) -> None:
        before = self.opened().releases.pointer()
        assert before is None or before.version != version, "promoted without the approval"
        self.do("approve", version, "--by", "Ann", "--reason", "It is better.")
        self.approved.append(version)
        self.do("run")

    def serve(self, as_of: dt.date) -> None:
        """The API answers as the list of the newest month has it, by the version in production."""
        home = self.opened()
        listed = home.records.frame("scores", as_of).head(100)
        keys = list(listed["customer"])
        # While a canary runs, its version scored the customers of its arm.
        versions = [int(version) for version in listed["version"]]
        version = versions[0]
        assert home.releases.pointer().version in versions

        async def asked() -> dict[str, Any]:
            with running(home) as server:
                async with client(server) as made:
                    batch = (await made.post("/predict/batch", json={"keys": keys})).json()
                    one = (await made.post("/predict", json={"customer": keys[0]})).json()
                    return {"batch": batch, "one": one}

        found = asyncio.run(asked())
        assert found["one"]["model"]["version"] == version
        own = home.version_contracts.own(home.releases.card(version))
        assert set(found["one"]["features_used"]) == set(own.features)
        rows = found["batch"]["results"]
        assert found["batch"]["failed"] == 0, rows
        for row, wanted in zip(rows, listed["probability"], strict=True):
            assert row["probability"] == pytest.approx(wanted, abs=1e-9)
        assert [row["version"] for row in rows] == versions
        if "arm" in listed:
            assert [row["arm"] for row in rows] == list(listed["arm"])

    def try_out(self, as_of: dt.date) -> None:
        """A rule as a shadow, and the version before as a canary: list and API agree."""
        if not self.opened().experiments.state().shadows:
            self.do("shadow", RULE, "--by", "Ann", "--reason", "The team's own rule.")
        before = self.opened().releases.pointer().previous_version
        signed = ("--by", "Ann", "--reason", "A look at the version before.")
        self.do("canary", before, "--steps", "40,60", *signed)
        self.serve(as_of)
        arms = self.opened().records.frame("scores", as_of).set_index("customer")["arm"]
        self.do("canary", "--raise", *signed)
        raised = self.opened().records.frame("scores", as_of).set_index("customer")["arm"]
        in_canary = arms.index[arms == "canary"]
        assert len(in_canary) < (raised == "canary").sum()
        assert (raised[in_canary] == "canary").all()
        self.serve(as_of)

    def roll_back(self, as_of: dt.date) -> None:
        """Back across a change of the contract and forward again, served at each place."""
        newest = self.opened().releases.pointer().version
        self.do("rollback", "--by", "Ann", "--reason", "A look at the version before.")
        before = self.opened().releases.pointer().version
        assert before < newest
        self.do("scores")
        self.do("status")
        self.do("run")
        assert self.opened().releases.pointer().version == before
        assert self.answer("scores")["version"] == before
        self.serve(as_of)
        self.do("rollback", "--to", newest, "--by", "Ann", "--reason", "And forward again.")
        self.do("run")
        assert self.answer("scores")["version"] == newest
        self.serve(as_of)

    def forget(self, as_of: dt.date) -> None:
        """A customer of every month so far is erased; until then every version is made again."""
        for version in self.opened().releases.versions():
            assert self.answer("reproduce", version)["reproduced"]
        self.forgotten = forgettable(as_of)
        self.do("forget", key_of(self.forgotten, MONTHS[0]), "--by", "Ann")
        self.do("run")

    def move(self) -> None:
        """Back up, and restore to another folder, which is the home from then on."""
        archive = self.folder / "backup.zip"
        receipts = len(self.opened().ledger.receipts())
        contract = (self.home / "contract.yaml").read_bytes()
        self.do("backup", archive)
        self.home = self.folder / "restored"
        self.do("restore", archive)
        assert (self.home / "contract.yaml").read_bytes() == contract
        # The restore, and the end of the canary, whose servers are elsewhere.
        assert len(self.opened().ledger.receipts()) == receipts + 2
        state = self.opened().experiments.state()
        assert state.canary is None
        assert list(state.shadows) == [RULE]


@pytest.fixture(scope="module", autouse=True)
def at_once():
    """Servers change to a version when it is promoted, not some seconds later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promotions, "ACTIVATION_DELAY", dt.timedelta(0))
        yield


@pytest.fixture(scope="module")
def life(at_once, tmp_path_factory):
    """The twelve months, with a person's approval of each promotion.

    `loop/test_contract_changes.py` promotes without one, and stands down where a column ends.
    """
    folder = tmp_path_factory.mktemp("life")
    policy = CONTRACT["policy"]
    policy = {
        **policy,
        "promotion": {**policy["promotion"], "mode": "approval"},
        "scoring": {**policy["scoring"], "ended_columns": "missing"},
    }
    home = make_home(folder / "home", {**CONTRACT, "policy": policy})
    lived = Life(folder, home.folder)
    quiet = os.environ.get("CHURN_QUIET_SECONDS")
    os.environ["CHURN_QUIET_SECONDS"] = "0"
    try:
        for as_of in MONTHS:
            lived.live(as_of)
            if as_of in SERVED:
                lived.serve(as_of)
            if as_of == ROLLED_BACK:
                lived.roll_back(as_of)
            if as_of == FORGOTTEN:
                lived.forget(as_of)
            if as_of in TRIED_OUT:
                lived.try_out(as_of)
            if as_of == MOVED_HOUSE:
                lived.move()
        yield lived
    finally:
        if quiet is None:
            del os.environ["CHURN_QUIET_SECONDS"]
        else:
            os.environ["CHURN_QUIET_SECONDS"] = quiet


def test_the_files_of_a_month_propose_what_changed_and_nothing_else(life):
    assert {month: found for month, found in life.proposed.items() if found} == PROPOSED


def test_files_that_the_contract_does_not_describe_are_refused(life):
    assert set(REFUSED) <= set(life.refused) <= set(PROPOSED)


def test_no_month_is_lost(life):
    home = life.opened()
    assert home.lake.months() == MONTHS
    assert home.progress().next_step() is None
    assert [m for m in MONTHS if home.lake.has_labels(m)] == MONTHS[:-1]
    for month in MONTHS[1:]:
        assert home.records.read("scores", month)["customers"] > 0


def test_each_version_learned_from_the_columns_of_its_months(life):
    home = life.opened()
    for version in home.releases.versions():
        card = home.releases.card(version)
        months = [dt.date.fromisoformat(month) for month in card.months]
        made = next(month for month in MONTHS if month > max(months))
        wanted = features_in(max(months)) & features_in(made)
        assert set(home.version_contracts.own(card).features) == wanted, version


def test_every_change_of_production_has_a_receipt(life):
    home = life.opened()
    receipts = home.ledger.receipts()
    changes = [r for r in receipts if r.act in ("promotion done", "rollback done")]
    assert {v for v in life.production.values() if v} <= {
        int(r.subject.removeprefix("version ")) for r in changes
    }
    promoted = [r.subject for r in changes if r.act == "promotion done"]
    assert promoted == [f"version {version}" for version in life.approved]
    assert len(set(promoted)) == len(promoted)


def test_every_canary_has_ended_with_a_receipt(life):
    receipts = life.opened().ledger.receipts()
    acts = [r.act for r in receipts if r.act.startswith("canary")]
    ends = [r.evidence["outcome"] for r in receipts if r.act == "canary ended"]
    assert acts == ["canary started", "canary raised", "canary ended"] * len(TRIED_OUT)
    assert ends[-1] == "home restored"
    assert ends[0] in ("production changed", "promoted")


def test_every_change_of_the_contract_is_one_receipt(life):
    receipts = life.opened().ledger.receipts("contract changed")
    assert len(receipts) == 1 + len(PROPOSED) + 1 + 1  # the first, labels of August, the label


def test_a_forgotten_customer_is_in_no_file_in_either_spelling(life):
    home = life.opened()
    keys = {key_of(life.forgotten, MONTHS[0]), key_of(life.forgotten, MONTHS[-1])}
    for file in sorted(home.drops.rglob("*.csv")):
        assert not keys & {line.split(",")[0] for line in file.read_text().splitlines()}, file
    for month in home.lake.months():
        for table in home.lake.tables(month).values():
            assert not keys & set(table["customer"])


def test_the_home_is_verified(life):
    found = life.answer("verify", "--deep")
    assert found["breaks"] == []
    assert found["verified"]


def test_every_version_is_made_again_that_learned_from_nobody_who_was_erased(life):
    home = life.opened()
    [erased] = home.ledger.receipts("customer forgotten")
    for version in home.releases.versions():
        told = life.ask("reproduce", version, "--json")
        made_at = home.releases.card(version).made_from.known_at
        if dt.datetime.fromisoformat(made_at) > dt.datetime.fromisoformat(erased.time):
            assert told.code == 0, told.out
        else:
            assert "forgotten" in told.out


def test_every_report_answers(life):
    listed = life.answer("scores")
    assert listed["as_of"] == str(MONTHS[-1])
    life.do("explain", listed["listed"][0]["customer"])
    for month in MONTHS[1:]:
        key = life.opened().records.frame("scores", month)["customer"].iloc[0]
        life.do("explain", key, "--as-of", month)
        life.do("contract", "diff", month)
    life.do("status")
    life.do("history")
    life.do("scoreboard")
