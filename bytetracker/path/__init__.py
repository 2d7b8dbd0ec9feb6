"""What `bytetracker path` does: the way of one probe and of its reply, and the ways of a server's flows."""
