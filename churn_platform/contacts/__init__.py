"""Contacts: who is assigned, what labels are then worth, what contacts achieve."""
