"""Topics to verdicts and faults: merge, join, paths, verdicts, evidence, localisation."""
