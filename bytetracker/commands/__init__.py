"""The commands; each translates options into calls and results into text, and decides nothing."""
