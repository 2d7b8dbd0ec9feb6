"""What is asked of the store, and the answers as models. SQL and rows in, models out; nothing here
connects."""
