"""How people's word on versions looks in a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from churn_platform.base.text import ended

STATES = {
    "promoted": "green", "approved": "green", "refused": "yellow", "rejected": "yellow", "lapsed": "yellow",
    "pending": "cyan",
}  # fmt: skip


def show_people(console: Console, found: Mapping[str, Any]) -> None:
    """What of a home waits for a person's word, and what people did against the gate."""
    waits = found["pending"]
    forced = (found["production"] or {}).get("overridden")
    if forced:
        console.print(f"[yellow]Overridden[/]  {_overridden(forced)}")
    if waits and waits["lapsed"]:
        console.print(
            f"[yellow]Lapsed[/]      The request to approve version {waits['version']}:"
            f" {waits['lapsed']}"
        )
    elif waits:
        console.print(f"[cyan]Waiting[/]     {waits['sentence']} {waits['how']}")
    for version, who in found["blocked"].items():
        console.print(
            f"[yellow]Blocked[/]     Version {version}, rolled back by {who['by']}: {who['reason']}"
        )


def standing(decision: Mapping[str, Any]) -> str:
    """The coloured word for what has become of a decision."""
    if decision["approval"]:
        state = decision["approval"]["state"]
    else:
        state = decision["decision"]
    return (
        f"[{STATES[state]}]{state}[/]{', [yellow]overridden[/]' if decision['overridden'] else ''}"
    )


def said_of(decision: Mapping[str, Any]) -> str:
    """Approvals and overrides of a decision, before its own reason; empty if there are none
    yet.
    """
    if decision["overridden"]:
        return f"{_overridden(decision['overridden'])} "
    request = decision["approval"]
    if request and request["state"] != "pending":
        return f"{request['sentence']} "
    return ""


def _overridden(forced: Mapping[str, Any]) -> str:
    return (
        f"Promoted against the decision by {forced['by']} at {forced['at'][:10]}:"
        f" {ended(forced['reason'])}"
    )
