"""From topics to tables: results, evidence, faults and dead letters into ClickHouse or embedded chDB."""
