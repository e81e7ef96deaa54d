"""The ledger: receipts in a hash chain, and the state of versions, approvals and production
that follows from them.
"""
