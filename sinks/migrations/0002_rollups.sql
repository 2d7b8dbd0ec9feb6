-- Evidence per minute, for cheap questions about months. See docs/decisions and sinks/rollup.py: a minute is
-- recomputed whole from the base table, and a row that rests on more evidence replaces one that rests on less. So
-- neither repeated nor reordered nor concurrent recomputation can count anything twice.

CREATE TABLE IF NOT EXISTS link_minutes_rolled
(
    minute DateTime('UTC'),
    from_node LowCardinality(String),
    to_node LowCardinality(String),
    leg LowCardinality(String),
    passed UInt64,
    lost UInt64,
    altered UInt64,
    mirror_missing UInt64,
    evidence_rows UInt64 COMMENT 'Rows of link_evidence it is the sum of'
)
ENGINE = ReplacingMergeTree(evidence_rows)
PARTITION BY toYYYYMM(minute)
ORDER BY (from_node, to_node, leg, minute)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'Sums of link_evidence per minute; read the view link_minutes, which knows which minutes are complete here';

CREATE TABLE IF NOT EXISTS minutes_rolled
(
    minute DateTime('UTC'),
    slots UInt64 COMMENT 'Rows of slots whose evidence had been counted'
)
ENGINE = ReplacingMergeTree(slots)
PARTITION BY toYYYYMM(minute)
ORDER BY minute
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'How much of each minute link_minutes_rolled holds';

-- Minutes about which more slots have arrived than were counted. When slots have expired, what was rolled stays.
CREATE OR REPLACE VIEW stale_minutes AS
SELECT arrived.minute AS minute, arrived.slots AS slots, rolled.slots AS slots_rolled
FROM
(
    SELECT toStartOfMinute(slot) AS minute, uniqExact(slot, input_partition) AS slots
    FROM slots
    GROUP BY minute
) AS arrived
LEFT JOIN
(
    SELECT minute, max(slots) AS slots
    FROM minutes_rolled
    GROUP BY minute
) AS rolled ON rolled.minute = arrived.minute
WHERE coalesce(rolled.slots, 0) < arrived.slots;

-- Right at any time: complete minutes from the rollup, all others straight from the evidence.
CREATE OR REPLACE VIEW link_minutes AS
SELECT minute, from_node, to_node, leg, passed, lost, altered, mirror_missing
FROM link_minutes_rolled FINAL
WHERE minute NOT IN (SELECT minute FROM stale_minutes)
UNION ALL
SELECT
    toStartOfMinute(slot) AS minute, from_node, to_node, leg,
    sum(e.passed) AS passed, sum(e.lost) AS lost, sum(e.altered) AS altered, sum(e.mirror_missing) AS mirror_missing
FROM link_evidence AS e FINAL
WHERE toStartOfMinute(slot) IN (SELECT minute FROM stale_minutes)
GROUP BY minute, from_node, to_node, leg;
