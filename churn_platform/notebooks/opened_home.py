"""A home, opened to be read from a notebook or a script."""

import html
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.base.errors import ChurnError, UsageError
from churn_platform.base.home import Home
from churn_platform.base.settings import Settings, read_only_settings
from churn_platform.base.text import Month, month_of
from churn_platform.notebooks.reading import reading

if TYPE_CHECKING:
    import pandas as pd

    from churn_platform.ledger.receipts import Act
    from churn_platform.notebooks.opened_decision import OpenedDecision
    from churn_platform.notebooks.opened_model import OpenedModel
    from churn_platform.notebooks.plots import HomePlots
    from churn_platform.services import Services


def open_home(
    home: str | os.PathLike[str] | None = None,
    *,
    contract: str | os.PathLike[str] | None = None,
) -> "OpenedHome":
    """Open a home to read it. Its files are read when a method asks for them.

    Args:
        home: its folder; by default `CHURN_HOME`, else `churn_home`, as in the terminal.
        contract: a contract file; by default that of the home.

    Raises:
        UsageError: there is no home, or a setting is invalid.
        WrongLayout: the home was written by a version with another layout.
    """
    settings = read_only_settings(
        None if home is None else Path(home), None if contract is None else Path(contract)
    )
    if not (settings.home_folder / "lake").is_dir():
        raise UsageError(
            f"There is no home at {settings.home_folder}. Create one with `churn init` or"
            " `churn demo`.",
            code="HOME_MISSING",
        )
    Home(settings).check_layout()
    return OpenedHome(settings)


class OpenedHome:
    """A home that is read and never written.

    Each call reads the files as they are then, so a notebook that stays open sees what later
    runs record. No call takes the home's lock or waits for a run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def folder(self) -> Path:
        """The folder of the home."""
        return self._settings.home_folder

    @property
    def plot(self) -> "HomePlots":
        """The plots."""
        from churn_platform.notebooks.plots import HomePlots

        return HomePlots(self._services)

    @reading
    def status(self) -> dict[str, Any]:
        """What the home knows about itself: the fields of `churn status --json`."""
        return self._services().status.now().as_json()

    @reading
    def months(self) -> "pd.DataFrame":
        """One row per published month: customers, churn, drift, who scored it, the decision."""
        from churn_platform.notebooks.tables import months_table

        return months_table(self._services())

    @reading
    def snapshot(self, table: str, as_of: Month | None = None) -> "pd.DataFrame":
        """A table of a month as the lake has it: the newest delivery, validated and typed.

        Raises:
            UsageError: the month has no such table.
        """
        from churn_platform.notebooks.datasets import table_of_month

        return table_of_month(self._services(), table, as_of)

    @reading
    def features(
        self, keys: Iterable[object] | None = None, as_of: Month | None = None
    ) -> "pd.DataFrame":
        """The features of a month's customers as scoring reads them, one row per key.

        Args:
            keys: the customers, in the order of the answer; all by default.
            as_of: the month; the newest by default.

        Raises:
            UsageError: the month was not published, or does not have a customer.
        """
        from churn_platform.notebooks.datasets import feature_rows

        return feature_rows(self._services(), keys, as_of)

    @reading
    def training_dataset(self, as_of: Month | None = None) -> "pd.DataFrame":
        """The training dataset of a month: key, as_of, features, label, holdout, weight, part.

        `weight` is how many customers a row stands for: 1 for all rows where the contract names
        no contacts. `part` is what a row is used for: `training`, `holdout` or nothing.

        Args:
            as_of: the month; the newest one with matured labels by default.

        Raises:
            UsageError: there is no dataset of the month.
            DataError: no labels had matured by then.
            IntegrityError: the rows are not those that were recorded.
        """
        from churn_platform.notebooks.datasets import dataset_frame, recorded_dataset

        return dataset_frame(recorded_dataset(self._services(), as_of))

    @reading
    def decision(self, as_of: Month | None = None) -> "OpenedDecision":
        """The newest decision on a candidate, or the newest one of a month.

        Raises:
            UsageError: no decision was made.
        """
        from churn_platform.notebooks.opened_decision import OpenedDecision

        wanted = None if as_of is None else month_of(as_of).isoformat()
        return OpenedDecision.of(self._services().status.decision(wanted))

    @reading
    def model(self, version: int | None = None) -> "OpenedModel":
        """A version of the model, its files verified; the one in production by default.

        Raises:
            UsageError: there is no such version, or none in production.
            IntegrityError: a file of the version was changed.
        """
        from churn_platform.notebooks.datasets import candidate_of_version, contract_of_version
        from churn_platform.notebooks.opened_model import OpenedModel

        home = self._services()
        found = candidate_of_version(home, version)
        return OpenedModel(found, contract_of_version(home, found))

    @reading
    def scores(self, as_of: Month | None = None) -> "pd.DataFrame":
        """Every customer of a scored month, the first to contact first, with the reasons of those
        on the list.

        Args:
            as_of: the month; the newest scored one by default.

        Raises:
            UsageError: the month was not scored.
        """
        from churn_platform.notebooks.datasets import scored_customers

        return scored_customers(self._services(), as_of)

    @reading
    def contact_plan(self, as_of: Month | None = None) -> "pd.DataFrame":
        """The registered contact plan of a month: each customer's arm and its probability.

        It shows who is left untouched: do not give it to the team that works through the list.

        Raises:
            UsageError: the contract names no contacts, or the month has no plan.
            IntegrityError: the rows are not those that were registered.
        """
        from churn_platform.notebooks.datasets import planned_customers

        return planned_customers(self._services(), as_of)

    @reading
    def performance(self) -> "pd.DataFrame":
        """One row per month and version: what labels showed, and what was estimated before."""
        from churn_platform.notebooks.tables import performance_table

        return performance_table(self._services().records)

    @reading
    def drift(self, as_of: Month | None = None) -> "pd.DataFrame":
        """The drift of a month against the training data of the version in production then: one
        row per feature, the most moved first, then the churn label and the predictions.

        Raises:
            DataError: drift was not measured.
        """
        from churn_platform.notebooks.datasets import recorded_drift
        from churn_platform.notebooks.tables import drift_table

        return drift_table(recorded_drift(self._services(), as_of).result)

    @reading
    def effect(self) -> "pd.DataFrame":
        """What contacting was worth: one row for all customers, then one per group and action.

        `prevented` is the share of customers whose leaving the list prevented. It is NaN where
        too few are known, or while the verdict is withheld.

        Raises:
            UsageError: the contract names no contacts.
            DataError: nothing is known yet.
        """
        from churn_platform.notebooks.datasets import recorded_effect
        from churn_platform.notebooks.tables import effect_table

        return effect_table(recorded_effect(self._services()))

    @reading
    def history(self, act: "Act | None" = None) -> "pd.DataFrame":
        """Every receipt of the ledger, oldest first, or those of one act.

        Raises:
            IntegrityError: the ledger was changed.
        """
        from churn_platform.notebooks.tables import history_table

        return history_table(self._services().ledger.receipts(act))

    def _services(self) -> "Services":
        """The stores of the home as they are now; nothing is kept between two calls."""
        from churn_platform.services import Services

        home = Services(self._settings)
        home.drop_digests.saves = False
        if home.lake_uri:
            home.lake_copies = self._fetched
        return home

    @cached_property
    def _fetched(self) -> Path:
        """Copies of files that are only at the place of the lake; they go with this object."""
        folder = Path(tempfile.mkdtemp(prefix="churn-lake-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def __repr__(self) -> str:
        return f"<home {str(self._settings.home)!r}>"

    def _repr_html_(self) -> str:
        try:
            found = self.status()
        except ChurnError as error:
            return f"<p>{html.escape(repr(self))}</p><p>{html.escape(str(error))}</p>"
        production = found["production"]
        serving = "none yet"
        if production is not None:
            serving = f"version {production['version']}, trained on {production['as_of']}"
        months = found["months"]
        facts = {
            "Home": str(self._settings.home),
            "Contract": found["contract"],
            "Months": f"{len(months)}: {months[0]} to {months[-1]}" if months else "none yet",
            "Production": serving,
            "Next": found["reason"],
        }
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{html.escape(fact)}</td></tr>"
            for name, fact in facts.items()
        )
        return f"<table>{rows}</table>"
