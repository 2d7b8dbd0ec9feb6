"""From link evidence to faults: whom to suspect, and the life of a fault."""
