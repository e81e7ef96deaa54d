"""Recomputes the figures of a monthly report from the files of a home, with pandas and scikit-learn alone."""

import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

from churn_platform.services import Services


@dataclass(frozen=True)
class Recomputed:
    """The figures of one month's report."""

    home: Services
    as_of: dt.date

    @cached_property
    def key(self) -> str:
        """The column of the customers' key."""
        return self.home.contract.entity.column

    @property
    def lake(self) -> Path:
        """The folder of the lake."""
        return self.home.folder / "lake"

    def record(self, kind: str, month: str) -> dict:
        """A record of a step."""
        return json.loads((self.lake / "derived" / kind / f"{month}.json").read_text())

    def rows(self, kind: str, month: str) -> pd.DataFrame:
        """The rows of a record."""
        return pd.read_parquet(self.lake / "derived" / kind / f"{month}.parquet")

    def table(self, name: str, month: str) -> pd.DataFrame | None:
        """The newest delivery of a month's table; None before it was delivered."""
        files = sorted((self.lake / name / f"as_of={month}").glob("*.parquet"))
        return pd.read_parquet(files[-1]) if files else None

    def churned(self, month: str) -> pd.Series | None:
        """Who left, by customer."""
        label = self.home.contract.label
        rows = self.table(label.table, month)
        return None if rows is None else rows.set_index(self.key)[label.column].astype(bool)

    @cached_property
    def months(self) -> list[str]:
        """The published months."""
        found = [path.stem for path in (self.lake / "snapshots").glob("*.json")]
        return sorted(month for month in found if month <= self.as_of.isoformat())

    def listed(self, month: str) -> list[str]:
        """The customers on the list of a month."""
        if self.home.contract.contacts is not None:
            rows = self.rows("contact_plan", month)
            return rows.loc[rows["arm"].isin(["contact", "explore"]), self.key].tolist()
        rows = self.rows("scores", month)
        rows = rows[~rows["already_left"]].sort_values("rank")
        return rows[self.key].head(self.home.contract.policy.scoring.listed).tolist()

    @cached_property
    def list_months(self) -> list[str]:
        """The months with a list."""
        kind = "contact_plan" if self.home.contract.contacts is not None else "scores"
        folder = self.lake / "derived" / kind
        months = sorted(path.stem for path in folder.glob("*.parquet"))
        return [
            one
            for one in months
            if one <= self.as_of.isoformat() and not self.record(kind, one).get("list_note")
        ]

    def after(self, month: str) -> str | None:
        """The month whose labels say what became of a list."""
        if self.home.contract.label.period == "after":
            return month if self.churned(month) is not None else None
        later = [one for one in self.months if one > month]
        return later[0] if later and self.churned(later[0]) is not None else None

    def on_lists(self) -> dict[str, float]:
        """This month's list, and what became of the last one."""
        now = self.as_of.isoformat()
        found: dict[str, float] = {}
        if now in self.list_months:
            keys = set(self.listed(now))
            found["on_list"] = len(keys)
            before = [one for one in self.list_months if one < now]
            if before:
                then = set(self.listed(before[-1]))
                found |= {
                    "new": len(keys - then),
                    "still": len(keys & then),
                    "gone": len(then - keys),
                }
        past = [one for one in self.list_months if self.after(one) is not None]
        if not past:
            return found
        keys_then = self.listed(past[-1])
        churned = self.churned(self.after(past[-1]))
        own = churned.reindex(keys_then).dropna().astype(bool)
        found |= {
            "listed": len(keys_then),
            "left": int(own.sum()),
            "stayed": int((~own).sum()),
            "list_churn": own.mean(),
            "churn": churned.mean(),
        }
        contacts = self.home.contract.contacts
        if contacts is not None:
            found["contacted"] = len(set(keys_then) & self.contacted(past[-1]))
        return found

    def contacted(self, month: str) -> set[str]:
        """Who was contacted before the label of a month was known."""
        contacts = self.home.contract.contacts
        until = self.home.contract.matures(dt.date.fromisoformat(month)).isoformat()
        tables = [self.table(contacts.table, one) for one in self.months]
        rows = pd.concat([one for one in tables if one is not None])
        on = rows[contacts.contacted_on].astype(str).str[:10]
        return set(rows.loc[(on > month) & (on <= until), self.key])

    def customers(self) -> dict[str, float]:
        """Who came, went and is still here."""
        now, before = self.months[-1], self.months[-2:-1]
        if not before:
            return {}
        name = self.home.contract.feature_views[next(iter(self.home.contract.feature_views))].table
        keys, then = (set(self.table(name, one)[self.key]) for one in (now, before[0]))
        return {"came": len(keys - then), "went": len(then - keys), "remained": len(keys & then)}

    def churn_rates(self) -> dict[str, float]:
        """Churn rate by month."""
        found = {one: self.churned(one) for one in self.months}
        return {one: rows.mean() for one, rows in found.items() if rows is not None and len(rows)}

    def auc(self, month: str) -> float:
        """AUC of the list of a month on the labels of customers whom no plan was to contact,
        each weighted by the inverse of the chance to be left alone; without training rows.
        """
        scores = self.rows("scores", month).set_index(self.key)["probability"]
        churned = self.churned(month)
        weights = pd.Series(1.0, index=churned.index)
        path = self.lake / "derived" / "contact_plan" / f"{month}.parquet"
        if path.exists():
            plan = pd.read_parquet(path).set_index(self.key)
            assigned = plan.index[plan["arm"].isin(["contact", "explore"])]
            weights = 1 / (1 - plan["assignment_probability"].reindex(churned.index).fillna(0.0))
            weights = weights[~weights.index.isin(assigned)]
        rows = pd.DataFrame({"score": scores, "churned": churned, "weight": weights}).dropna()
        return roc_auc_score(
            rows["churned"].astype(bool), rows["score"], sample_weight=rows["weight"]
        )
