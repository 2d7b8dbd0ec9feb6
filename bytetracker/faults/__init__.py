"""What `bytetracker faults` does: faults of the past from the store, and live ones from the topic."""
