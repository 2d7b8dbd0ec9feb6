"""The whole pipeline: real brokers, real worker processes, the commands as a user types them."""
