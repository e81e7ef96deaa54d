"""From a drop to a snapshot: read, validate, quarantine, compare, publish."""
