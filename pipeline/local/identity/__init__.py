"""Who sends a request to the local cloud, and what the account's policies allow them."""
