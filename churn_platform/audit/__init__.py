"""Verify the ledger, the files and the server; reproduce a version."""
