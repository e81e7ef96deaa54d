"""The contract: the tables, columns, label, costs and policy of a business, read from YAML."""
