"""Contacts: whom to contact, what labels mean after a contact, and what contacts were worth."""
