"""The home as a whole: check-up and repair, backup and restore, forgetting a customer."""
