"""The ranked list: every customer scored with reasons."""
