"""The network: its model, inventory files, generators, faults, simulator and lab."""
