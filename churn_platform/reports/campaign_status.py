"""What contacting was worth, as people and scripts ask for it."""

import datetime as dt
from dataclasses import dataclass

from churn_platform.base.stored import Stored
from churn_platform.contacts.campaign import WHY_WITHHELD, CampaignRecord, Campaigns
from churn_platform.contacts.effect import Effect
from churn_platform.contacts.uplift_ranking import Ranking
from churn_platform.contract.model import Contract
from churn_platform.reports.contact_status import asked_month


class CampaignStatus(Stored):
    """What contacting was worth, as known in a month.

    Attributes:
        sentence: the answer.
        state: shown, not yet shown, harmful or withheld.
        withheld: code -> why the verdict is withheld; its figures are not given then.
        look: number of the look at the effect, of `looks` planned ones.
        level: confidence level of the intervals at this look.
        contamination: how many untouched customers were contacted; empty if none.
        effect: the figures.
        ranking: what ranks the list, and why.
    """

    as_of: str
    sentence: str
    state: str
    withheld: dict[str, str]
    look: int
    looks: int
    level: float | None
    contamination: str
    effect: Effect | None
    ranking: Ranking | None

    @classmethod
    def of(cls, as_of: dt.date, record: CampaignRecord) -> "CampaignStatus":
        """As a record says."""
        doubts = () if record.effect is None else record.effect.doubts
        return cls(
            as_of=as_of.isoformat(),
            sentence=record.sentence,
            state=record.state.value,
            withheld={doubt.value: WHY_WITHHELD[doubt] for doubt in doubts},
            look=record.look,
            looks=record.looks,
            level=record.level,
            contamination=record.contamination_sentence,
            effect=record.shown,
            ranking=record.ranking,
        )


@dataclass(frozen=True)
class CampaignStatuses:
    """Answers questions about the campaigns of one home."""

    contract: Contract
    campaigns: Campaigns

    def newest(self) -> CampaignStatus | None:
        """As known in the newest month; None where the contract names no contacts, or before
        the first month.
        """
        months = self._months()
        if self.contract.contacts is None or not months:
            return None
        return self._status(months[-1])

    def of(self, as_of: dt.date | None) -> CampaignStatus:
        """As known in a month, in the newest by default.

        Raises:
            UsageError: the contract names no contacts, or the month was not processed.
        """
        month = asked_month(
            self.contract,
            self._months(),
            as_of,
            before_the_first=(
                "No month is processed yet: `churn run` measures what contacting was worth."
            ),
            of_another="What contacting was worth was not measured in {month}; months: {known}.",
        )
        return self._status(month)

    def _months(self) -> list[dt.date]:
        return self.campaigns.records.months("campaign_effect")

    def _status(self, month: dt.date) -> CampaignStatus:
        record = self.campaigns.record(month) or CampaignRecord()
        return CampaignStatus.of(month, record)
