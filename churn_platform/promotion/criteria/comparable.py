"""GATE004: enough holdout rows are left that neither model trained on.

An incumbent scored on rows it was trained on read 0.83 where the truth was 0.62 and refused
every better model forever. So such rows leave, and when too few remain there is no number at
all.
"""

from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence

IMPORT_AGAIN = (
    "Import it again with the list of its customers (`churn import-model ... --trained-on FILE"
    " --serve`), say in policy.promotion.incumbent_trained_before when it was trained, or override"
    " with a reason."
)
WAY_OUT = "retrain production's recipe with this holdout, or override with a reason"


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Say what was left out and what is left, or why that is not a comparison and what to do."""
    left = int(evidence.sound_rows.sum())
    gone = int((~evidence.untrained_rows).sum())
    weightless = int(evidence.untrained_rows.sum()) - left
    if not evidence.comparable:
        return "not_applicable", _why_not(evidence, gone, weightless)
    if evidence.compares:
        who = "Neither model"
    else:
        who = "The candidate never"
    if gone:
        seen = f"; {gone:,} rows of customers that a model had trained on were left out"
    else:
        seen = ""
    if weightless:
        seen += f"; {weightless:,} rows whose label a contact may have changed were left out"
    compared = f"{who} trained on any customer of the {left:,} holdout rows compared{seen}."
    return "pass", compared + _features(evidence) + _imported(evidence)


def _imported(evidence: Evidence) -> str:
    """What is known of an imported production model, as a further sentence."""
    return f" {evidence.imported}" if evidence.imported and evidence.compares else ""


def _features(evidence: Evidence) -> str:
    """Which features only one of the two reads, and which of production's are missing."""
    if not evidence.compares or not evidence.other_features:
        return ""
    said = []
    ours = evidence.candidate_features
    theirs = evidence.production_features
    for who, own, other in (("candidate", ours, theirs), ("production", theirs, ours)):
        only = [name for name in own if name not in other]
        if only:
            said.append(f"only {who} reads {', '.join(only)}")
    text = f" Each with its own features: {'; '.join(said)}."
    if evidence.ended:
        text += f" Production was scored with missing values of {', '.join(evidence.ended)}."
    return text


def _why_not(evidence: Evidence, gone: int, weightless: int) -> str:
    total = len(evidence.labels)
    wanted = evidence.policy.min_holdout_churners
    remain = (
        f"{evidence.churners:,} {evidence.effective}churners and"
        f" {evidence.stayers:,} {evidence.effective}others"
    )
    if evidence.compares and evidence.production_saw is None and evidence.imported:
        return (
            f"Any of the {total:,} holdout rows may have trained production (version"
            f" {evidence.production_version}): not comparable. {evidence.imported} {IMPORT_AGAIN}"
        )
    if evidence.compares and evidence.production_saw is None:
        return (
            f"Production (version {evidence.production_version}) carries no digest of its"
            f" training entities, so which of the {total:,} holdout rows it trained on is"
            f" unknown: not comparable; {WAY_OUT}."
        )
    if not gone and weightless:
        return (
            f"{weightless:,} of {total:,} holdout rows have a label that a contact may have"
            f" changed; the rest hold {remain}, where {wanted} of each are needed: not"
            " comparable; pool more months (policy.training.pooled_months), or leave more"
            " customers untouched (policy.contacts.untouched_share)."
        )
    if not gone:
        return (
            f"The {total:,} holdout rows hold {remain}, so there is nothing to rank: not"
            " comparable; check the labels, or pool more months"
            " (policy.training.pooled_months)."
        )
    who, way_out = (
        ("a model", WAY_OUT)
        if evidence.compares
        else ("the candidate", "train it again with this holdout")
    )
    return (
        f"{gone:,} of {total:,} holdout rows are of customers that {who} trained on; the rest"
        f" hold {remain}, where {wanted} of each are needed: not comparable; {way_out}."
        f"{_imported(evidence)}"
    )


CRITERION = Criterion("GATE004", "comparable", "Comparable", rule, needs="nothing", must_pass=True)
