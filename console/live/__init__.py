"""What is so now, straight from the topics: open faults, the state of links, coverage, the clock."""
