"""Where packets come from: a live interface, a capture file, memory; all behind `PacketSource`."""
