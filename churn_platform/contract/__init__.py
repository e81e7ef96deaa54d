"""The contract: the one file that knows the tables, columns, label, costs and policy of a
business.
"""
