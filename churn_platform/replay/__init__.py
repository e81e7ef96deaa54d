"""The loop's past once more under another policy."""
