"""Contacts: whom to contact, and what contacting was worth."""

import dagster as dg

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.contacts.campaign import WHY_WITHHELD, CampaignRecord
from churn_platform.contacts.effect import Effect, Estimate
from churn_platform.defs.features import training_dataset
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.defs.scoring import scores
from churn_platform.scoring.contact_list import contact_list

NO_CONTACTS = "The contract names no table of contacts."


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="contacts",
    deps=[scores],
    kinds={"csv", "excel"},
)
def contact_plan(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Who to contact within the budget. Some customers above the cut are left untouched at
    random, so the effect can be measured.

    The ledger records who is in which group before the list exists.
    """
    opened = home.open()
    as_of = month_of(context)
    record = opened.month.contact_plan(as_of)
    if record is None:
        return dg.MaterializeResult(metadata={"note": NO_CONTACTS})
    if record.digest is None:
        return dg.MaterializeResult(
            metadata={"note": record.note or "", "waits for a decision": record.waiting}
        )
    csv = contact_list(opened.reports, as_of)
    excel = csv.with_suffix(".xlsx")
    excluded = [(reason, f"{count:,}") for reason, count in record.excluded.items()]
    metadata: dict[str, dg.RawMetadataValue] = {
        "to contact": record.assigned,
        "of them below the cut": record.explore,
        "left untouched": record.untouched,
        "excluded": markdown_table(["reason", "customers:"], excluded),
        "ranked by": f"{record.ranked_by} x value",
        "model version": str(record.version),
        "experiment": record.experiment or "",
        "digest": record.digest,
        "list": dg.MetadataValue.url(report_url(opened, csv)),
        "list file": dg.MetadataValue.path(str(csv)),
    }
    if excel.exists():
        metadata["list as Excel"] = dg.MetadataValue.url(report_url(opened, excel))
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="contacts",
    deps=[training_dataset],
    kinds={"numpy"},
)
def campaign_effect(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """What contacting was worth: customers assigned to be contacted against those left untouched
    at random, by intention to treat, over all months whose labels are known.
    """
    record = home.open().month.campaign_effect(month_of(context))
    if record is None:
        return dg.MaterializeResult(metadata={"note": NO_CONTACTS})
    if record.shown is None:
        metadata = {"note": record.sentence, **_looks(record), **_ranking(record)}
        return dg.MaterializeResult(metadata=metadata)
    metadata = {**_effect_metadata(record, record.shown), **_ranking(record)}
    return dg.MaterializeResult(metadata=metadata)


def _effect_metadata(record: CampaignRecord, effect: Effect) -> dict[str, object]:
    shown: dict[str, object] = {
        "what it was worth": record.sentence,
        "verdict": effect.state.value,
        **_looks(record),
        "months": ", ".join(effect.months),
    }
    if effect.doubts:
        why = [(doubt.value, WHY_WITHHELD[doubt]) for doubt in effect.doubts]
        shown["withheld because"] = markdown_table(["code", ""], why)
    else:
        shown |= {
            "customers saved": _figure(effect.saved, "{:+,.0f}"),
            "worth, less its cost": (
                "no value given"
                if effect.money is None and effect.saved is not None
                else _figure(effect.money, "{:+,.0f}")
            ),
            "churn prevented": _figure(effect.effect, "{:+.1%}"),
            "churn prevented where reached": _figure(effect.complier_effect, "{:+.1%}"),
        }
    ratio = effect.sample_ratio
    shown |= {
        "reached": f"{effect.reached:.0%} of the assigned",
        "cost of the contacts": round(effect.spent, 2),
        "untouched": f"{ratio.untouched:,}; {ratio.expected_untouched:,.1f} expected",
        "sample ratio": f"p {ratio.p_value:.3g}, within the list {ratio.p_value_in_strata:.3g}",
        "untouched but contacted": record.contamination_sentence or "none",
    }
    parts = [
        (part.name, part.value, f"{part.assigned:,}", f"{part.untouched:,}",
         _figure(part.effect, "{:+.1%}"), "" if part.randomised else "a comparison, not an effect")
        for part in (*effect.by_slice, *effect.by_action)
    ]  # fmt: skip
    if parts:
        heads = ["by", "group", "assigned:", "untouched:", "churn prevented:", ""]
        shown["by group"] = markdown_table(heads, parts)
    return shown


def _ranking(record: CampaignRecord) -> dict[str, object]:
    """What ranks the list, with the figures that decided it."""
    ranking = record.ranking
    if ranking is None:
        return {}
    shown: dict[str, object] = {"ranking": ranking.sentence}
    if ranking.difference is not None and ranking.difference_interval is not None:
        low, high = ranking.difference_interval
        shown["effect less risk (AUTOC)"] = (
            f"{ranking.difference:+,.2f} [{low:+,.2f}, {high:+,.2f}]"
        )
    return shown


def _looks(record: CampaignRecord) -> dict[str, object]:
    """How often the effect was looked at, and the level of its intervals."""
    if record.level is None:
        return {}
    return {
        "look": f"{record.look} of {record.looks}",
        "level of the intervals": f"{record.level:.8g}",
    }


def _figure(estimate: Estimate | None, form: str) -> str:
    """A figure with its interval."""
    if estimate is None:
        return "too few customers"
    low, high = form.format(estimate.interval.low), form.format(estimate.interval.high)
    return f"{form.format(estimate.value)} [{low}, {high}]"
