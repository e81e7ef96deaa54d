"""What the logs of a home hold, for status and doctor."""

from churn_platform.base.stored import Stored
from churn_platform.base.text import counted
from churn_platform.events.derived_tables import DerivedTables
from churn_platform.lake.lake import Lake


class HeldEvents(Stored):
    """The events of one log, as they are known now.

    Attributes:
        table: The log.
        events: How many.
        first: The first day; None without an event.
        last: The last day.
        late: How many events of the newest drop happened by the as_of of the drop before.
        sentence: The same in words.
    """

    table: str
    events: int
    first: str | None
    last: str | None
    late: int
    sentence: str


def held_events(lake: Lake, derived: DerivedTables) -> list[HeldEvents] | None:
    """What each log of the contract holds; None without a log."""
    if not lake.contract.logs:
        return None
    found = []
    for name, log in lake.contract.logs.items():
        drops = derived.days_held(name)
        counts: dict[str, int] = {}
        for days in drops.values():
            for day, number in days.items():
                counts[day] = counts.get(day, 0) + number
        late = 0
        if log.delivery == "append" and len(drops) > 1:
            before, newest = sorted(drops)[-2:]
            late = sum(n for day, n in drops[newest].items() if day <= before.isoformat())
        found.append(_held(name, counts, late))
    return found


def _held(name: str, counts: dict[str, int], late: int) -> HeldEvents:
    events = sum(counts.values())
    first = min(counts, default=None)
    last = max(counts, default=None)
    sentence = f"{name}: {counted(events, 'event')}"
    if first is not None:
        sentence += f" from {first} to {last}"
    if late:
        sentence += f", {late:,} of the newest drop came late"
    return HeldEvents(
        table=name, events=events, first=first, last=last, late=late, sentence=f"{sentence}."
    )
