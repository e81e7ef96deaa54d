"""The monthly report: one page each for the team, the manager and the approver."""
