-- Flows that were lost, and whether they were lost again: what tells a black hole from losses by chance.
CREATE TABLE IF NOT EXISTS flow_fates
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time in which the flows came back',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    from_node LowCardinality(String) COMMENT 'Node that the lost packets left',
    to_node LowCardinality(String) COMMENT 'Node that they were to go to; empty: not known',
    leg LowCardinality(String) COMMENT 'encapsulated, probe, reply',
    lost_again UInt32 COMMENT 'Probes lost here whose flow had lost its last one here too',
    recovered UInt32 COMMENT 'Probes answered whose flow had lost its last one here',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition, from_node, to_node, leg)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'Flows that were lost at a place: lost again or not when they came back, per slot and input partition';
