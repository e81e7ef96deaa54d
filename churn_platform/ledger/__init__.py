"""The ledger: receipts in a hash chain, and what they say about versions, approvals and
production.
"""
