"""Contacts: who is contacted and who is left untouched, and what contacting was worth."""
