-- What the search for culprits rests on and says: chips, altered bits, strays, learnt ways, coverage, silences.

ALTER TABLE fault_events COMMENT COLUMN kind 'network_loss, black_hole, alteration, loop, wrong_route, host_silent, mirror_outage, prober_outage, source_silent, coverage_gap';

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS legs Array(LowCardinality(String)) COMMENT 'Legs on which it shows: encapsulated, probe, reply' AFTER story;

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS `bits.byte_offset` Array(Int32) COMMENT 'Altered bits, the most frequent first: byte of the IP packet' AFTER legs;

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS `bits.bit` Array(UInt8) COMMENT 'Bit of that byte, 0 the least' AFTER `bits.byte_offset`;

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS `bits.to_one` Array(Int64) COMMENT 'Packets in which it became 1' AFTER `bits.bit`;

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS `bits.to_zero` Array(Int64) COMMENT 'Packets in which it became 0' AFTER `bits.to_one`;

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS silenced String COMMENT 'Why nobody is to be alerted: a silence or planned maintenance; empty: alert' AFTER `bits.to_zero`;

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS flaps UInt32 COMMENT 'How often it came back soon after it was resolved' AFTER silenced;

ALTER TABLE fault_events ADD COLUMN IF NOT EXISTS part_of String COMMENT 'fault_id of the fault that it turned out to be part of; empty: none' AFTER flaps;

CREATE TABLE IF NOT EXISTS chip_evidence
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    switch LowCardinality(String) COMMENT 'Switch of several chips',
    from_chip LowCardinality(String) COMMENT 'Chip of the port that the packets came in by',
    to_chip LowCardinality(String) COMMENT 'Chip of the port that they left by; empty: lost, and the way out is not known',
    leg LowCardinality(String) COMMENT 'encapsulated, probe, reply',
    passed UInt32 COMMENT 'Packets seen at the next hop',
    lost UInt32 COMMENT 'Probes last seen coming in',
    altered UInt32 COMMENT 'Packets whose content differs at the next hop',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition, switch, from_chip, to_chip, leg)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'What happened between the chips of switches that have several, per slot and input partition';

CREATE TABLE IF NOT EXISTS strays
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    verdict LowCardinality(String) COMMENT 'loop, unexpected_path',
    from_node LowCardinality(String) COMMENT 'Switch that sent the packets astray',
    to_node LowCardinality(String) COMMENT 'Where they went; empty: not known',
    leg LowCardinality(String) COMMENT 'encapsulated, probe, reply',
    probes UInt32 COMMENT 'Probes that went there',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition, verdict, from_node, to_node, leg)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'Where packets went that should not have gone there, per slot and input partition';

CREATE TABLE IF NOT EXISTS altered_bits
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    from_node LowCardinality(String) COMMENT 'Node after which the content differs',
    to_node LowCardinality(String) COMMENT 'Node before which it differs; empty: not known',
    leg LowCardinality(String) COMMENT 'encapsulated, probe, reply',
    byte_offset Int32 COMMENT 'Byte of the IP packet',
    bit UInt8 COMMENT 'Bit of that byte, 0 the least',
    to_one UInt32 COMMENT 'Packets in which it became 1',
    to_zero UInt32 COMMENT 'Packets in which it became 0',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition, from_node, to_node, leg, byte_offset, bit)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'Which bits were altered on the way, per slot and input partition';

-- A newer slot replaces an older one, wherever in the topic they came.
CREATE TABLE IF NOT EXISTS flow_paths
(
    slot DateTime64(6, 'UTC') COMMENT 'Slot in which the way was said last; it is said when it is new, and now and then',
    prober LowCardinality(String) COMMENT 'Prober of the flow',
    target String COMMENT 'Its target',
    via LowCardinality(String) COMMENT 'Decapsulating ToR; empty: none',
    source_port Int32 COMMENT 'TCP source port, names the flow',
    leg LowCardinality(String) COMMENT 'encapsulated, probe, reply',
    switches Array(LowCardinality(String)) COMMENT 'The switches of the leg, in order',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(slot)
ORDER BY (prober, target, via, source_port, leg)
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'The way that each flow takes, as the mirrors show it: the newest per flow and leg';

CREATE TABLE IF NOT EXISTS coverage_reports
(
    slot DateTime64(6, 'UTC') COMMENT 'Event time of the report',
    window_us Int64 COMMENT 'Time before it within which a crossing counts, us',
    element_class LowCardinality(String) COMMENT 'port, link, chip_pair',
    total UInt32 COMMENT 'How many the inventory has',
    crossable UInt32 COMMENT 'How many of them a probe can cross at all',
    seen UInt32 COMMENT 'How many of those were crossed',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, element_class)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'How much of the network probes crossed lately, report by report';

CREATE TABLE IF NOT EXISTS coverage_unseen
(
    slot DateTime64(6, 'UTC') COMMENT 'Event time of the report',
    element_class LowCardinality(String) COMMENT 'port, link, chip_pair',
    element String COMMENT 'Port S:NAME, directed link A~B, chip pair S/C1>C2',
    last_seen DateTime64(6, 'UTC') COMMENT 'When it was last crossed; 1970: never',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, element_class, element)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'What was not crossed, at most 1000 elements a report';

CREATE TABLE IF NOT EXISTS silences
(
    given_at DateTime64(6, 'UTC') COMMENT 'When the command was given',
    action LowCardinality(String) COMMENT 'silence, unsilence',
    element String COMMENT 'What it is about; faults at it and within it are silenced',
    starts_at DateTime64(6, 'UTC') COMMENT 'From when on, event time',
    ends_at DateTime64(6, 'UTC') COMMENT 'Until when',
    why String COMMENT 'Reason, for people',
    by LowCardinality(String) COMMENT 'Who asked',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
ORDER BY (element, given_at, action)
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'Every silence that was asked for or ended; the view silences_now shows those that hold';

CREATE TABLE IF NOT EXISTS inventory_maintenance
(
    element String COMMENT 'What is worked on',
    starts_at DateTime64(6, 'UTC') COMMENT 'From when on, event time',
    ends_at DateTime64(6, 'UTC') COMMENT 'Until when',
    why String COMMENT 'Reason, for people',
    loaded_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(loaded_at)
ORDER BY (element, starts_at)
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'Planned maintenance of every inventory loaded so far';

-- One row per fault, newest first: what its latest event says, and its life. A fault with `part_of` turned out to be
-- part of another one; one with `silenced` is nobody's to be alerted of.
CREATE OR REPLACE VIEW fault_history AS
SELECT
    fault_id,
    argMax(e.state, e.version) AS state,
    argMax(e.kind, e.version) AS kind,
    argMax(e.severity, e.version) AS severity,
    argMax(e.suspects.element, e.version) AS suspects,
    argMax(e.suspects.confidence, e.version) AS confidences,
    argMax(e.direction, e.version) AS direction,
    argMax(e.legs, e.version) AS legs,
    argMax(tuple(e.loss_rate), e.version).1 AS loss_rate,
    argMax(tuple(e.loss_rate_low), e.version).1 AS loss_rate_low,
    argMax(tuple(e.loss_rate_high), e.version).1 AS loss_rate_high,
    argMax(e.probes_bad, e.version) AS probes_bad,
    argMax(e.probes_total, e.version) AS probes_total,
    argMax(e.first_seen, e.version) AS first_seen,
    argMax(e.last_seen, e.version) AS last_seen,
    argMin(e.detected_at, e.version) AS opened_at,
    if(state = 'resolved', argMax(e.detected_at, e.version), NULL) AS resolved_at,
    dateDiff('microsecond', first_seen, opened_at) / 1e6 AS detection_s,
    argMax(e.affected_servers, e.version) AS affected_servers,
    argMax(e.silenced, e.version) AS silenced,
    argMax(e.flaps, e.version) AS flaps,
    argMax(e.part_of, e.version) AS part_of,
    argMax(e.story, e.version) AS story,
    max(e.version) AS events
FROM fault_events AS e FINAL
GROUP BY fault_id
ORDER BY opened_at DESC;

-- Elements that were the first suspect of more than one fault in the last 30 days, or of one that came back, worst
-- first. Faults that turned out to be part of another one do not count.
CREATE OR REPLACE VIEW repeat_offenders AS
SELECT
    suspects[1] AS element,
    count() AS faults,
    sum(h.flaps) AS flaps,
    arraySort(groupUniqArray(h.kind)) AS kinds,
    sum(h.probes_bad) AS probes_bad,
    min(h.opened_at) AS first_opened_at,
    max(h.last_seen) AS last_seen
FROM fault_history AS h
WHERE h.part_of = '' AND notEmpty(h.suspects) AND h.opened_at > (SELECT slot FROM newest_slot) - INTERVAL 30 DAY
GROUP BY element
HAVING faults + flaps > 1
ORDER BY faults + flaps DESC, probes_bad DESC, element;

-- Silences and planned maintenance that hold or are to come, by event time. Of several silences of an element the last
-- one counts.
CREATE OR REPLACE VIEW silences_now AS
SELECT what, element, starts_at, ends_at, starts_at <= (SELECT slot FROM newest_slot) AS in_force, why, by
FROM
(
    SELECT
        'silence' AS what, element,
        argMax(s.starts_at, (s.given_at, s.kafka_offset)) AS starts_at,
        argMax(s.ends_at, (s.given_at, s.kafka_offset)) AS ends_at,
        argMax(s.why, (s.given_at, s.kafka_offset)) AS why,
        argMax(s.by, (s.given_at, s.kafka_offset)) AS by
    FROM silences AS s FINAL
    GROUP BY element
    HAVING argMax(s.action, (s.given_at, s.kafka_offset)) = 'silence'
    UNION ALL
    SELECT 'maintenance' AS what, m.element, m.starts_at, m.ends_at, m.why, '' AS by
    FROM inventory_maintenance AS m FINAL
    WHERE m.loaded_at = (SELECT max(loaded_at) FROM inventory_nodes)
)
WHERE ends_at > (SELECT slot FROM newest_slot)
ORDER BY starts_at, element;

-- The latest report on coverage. `share` is 1 when everything was crossed that a probe can cross.
CREATE OR REPLACE VIEW coverage_now AS
SELECT
    r.slot AS slot, r.window_us AS window_us, r.element_class AS element_class,
    r.total AS total, r.crossable AS crossable, r.seen AS seen,
    if(crossable = 0, NULL, seen / crossable) AS share,
    u.unseen AS unseen
FROM coverage_reports AS r FINAL
LEFT JOIN
(
    SELECT element_class, arraySort(groupArray(c.element)) AS unseen
    FROM coverage_unseen AS c FINAL
    WHERE slot = (SELECT max(slot) FROM coverage_reports)
    GROUP BY element_class
) AS u ON u.element_class = r.element_class
WHERE r.slot = (SELECT max(slot) FROM coverage_reports)
ORDER BY element_class;

-- Pairs of chips of the last hour between which packets were lost or altered, worst first. `crossings` is NULL where
-- the way out is not known (an empty `to_chip`).
CREATE OR REPLACE VIEW worst_chips AS
SELECT
    switch, from_chip, to_chip, leg,
    if(to_chip = '', NULL, sum(c.passed) + sum(c.lost)) AS crossings,
    sum(c.lost) AS lost,
    lost / crossings AS loss_rate,
    sum(c.altered) AS altered,
    altered / greatest(sum(c.passed), 1) AS altered_rate
FROM chip_evidence AS c FINAL
WHERE c.slot > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
GROUP BY switch, from_chip, to_chip, leg
HAVING lost > 0 OR altered > 0
ORDER BY lost + altered DESC, loss_rate DESC, switch, from_chip, to_chip, leg;
