"""The ledger on disk and what is written to it: receipts, their anchor, where a result comes from."""
