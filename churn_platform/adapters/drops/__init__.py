"""A month's files from the folder or the database to a published snapshot, and the page about them."""
