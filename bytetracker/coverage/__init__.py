"""What probes cross, and flows chosen so that they cross everything."""
