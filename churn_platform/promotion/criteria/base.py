"""A criterion and its result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from churn_platform.promotion.evidence import Evidence

Outcome = Literal["pass", "fail", "warn", "not_applicable"]


class CriterionResult(BaseModel):
    """The result of one criterion: a sentence with its figures.

    `unsound` marks a result that shows the comparison itself cannot be trusted, not that the
    candidate lost it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    name: str
    title: str
    outcome: Outcome
    detail: str
    unsound: bool = False
    refuses: bool = False


@dataclass(frozen=True)
class Criterion:
    """One promotion rule: a code that never changes, a true statement as name, a title, and the
    rule.

    `needs` is what must be there before the rule is asked: nothing, valid holdout rows, or
    also a production model to compare with. Where it is not there the result is "not
    applicable", which refuses only for a criterion that `must_pass`, except that labels which
    do not judge production leave the decision to a person. A warning lets the
    candidate pass; of a criterion whose `warning_needs_approval` it lets it pass only with a
    person's approval, whatever the policy's mode.
    """

    code: str
    name: str
    title: str
    rule: Callable[[Evidence], tuple[Outcome, str]]
    needs: Literal["nothing", "rows", "production"] = "rows"
    must_pass: bool = False
    warning_needs_approval: bool = False

    def judge(self, evidence: Evidence) -> CriterionResult:
        """Apply the rule, or say why it does not apply."""
        if self.needs == "production" and not evidence.compares:
            why = evidence.not_comparable or "There is no production model to compare with."
            return self.result("not_applicable", why)
        if self.needs != "nothing" and not evidence.comparable:
            return self.result(
                "not_applicable", "The holdout rows allow no comparison, see GATE004."
            )
        if self.must_pass and evidence.comparable and evidence.not_comparable:
            return self.result("not_applicable", evidence.not_comparable, refuses=False)
        return self.result(*self.rule(evidence))

    def result(
        self, outcome: Outcome, detail: str, *, unsound: bool = False, refuses: bool | None = None
    ) -> CriterionResult:
        """A result of this criterion; by default a fail refuses."""
        if refuses is None:
            refuses = outcome == "fail" or (self.must_pass and outcome != "pass")
        return CriterionResult(
            code=self.code,
            name=self.name,
            title=self.title,
            outcome=outcome,
            detail=detail,
            unsound=unsound,
            refuses=refuses,
        )
