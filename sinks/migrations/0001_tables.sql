-- Base tables. A row's identity is the natural key it is sorted by; a row that arrives again replaces itself, the
-- later place in its topic winning. Partitions follow from the sorting key, or FINAL would keep two of them.
-- Points in time are UTC. The kafka_ columns say which message a row came from.

CREATE TABLE IF NOT EXISTS probe_results
(
    sent_at DateTime64(6, 'UTC') COMMENT 'Send time of the probe group; with probe_id the key of a probe',
    probe_id UInt64 COMMENT 'prober << 32 | group << 3 | member',
    kind LowCardinality(String) COMMENT 'north_south, east_west, inter_prober',
    verdict LowCardinality(String) COMMENT 'What became of the probe',
    reason String COMMENT 'Why, in one sentence',
    sampled Bool COMMENT 'True: an ok probe kept as a sample; all others are kept always',
    prober LowCardinality(String) COMMENT 'Name of the Prober',
    target String COMMENT 'Name of the server, or its address if it is in no inventory',
    target_address String COMMENT 'Address probed',
    via LowCardinality(String) COMMENT 'Decapsulating ToR; empty: none',
    source_port Int32 COMMENT 'TCP source port, names the flow',
    destination_port Int32 COMMENT 'TCP destination port, closed',
    rtt_ns Nullable(Int64) COMMENT 'Round-trip time, ns; NULL: no reply',
    reply_kind LowCardinality(String) COMMENT 'none, rst, syn_ack, icmp',
    reply_ttl Nullable(Int32) COMMENT 'TTL of the reply; NULL: none',
    last_seen LowCardinality(String) COMMENT 'Node after which it went wrong; empty: nowhere',
    next_node LowCardinality(String) COMMENT 'Node it should have reached next; empty: not known',
    fault_leg LowCardinality(String) COMMENT 'encapsulated, probe, reply; empty: nothing went wrong on the way',
    `hops.leg` Array(LowCardinality(String)) COMMENT 'Mirrored copies in the order of legs and hops: leg',
    `hops.switch` Array(LowCardinality(String)) COMMENT 'Switch',
    `hops.port` Array(Int32) COMMENT 'Port it was mirrored at; -1: not known',
    `hops.ttl` Array(Int32) COMMENT 'TTL as it came in',
    `hops.observed_at` Array(DateTime64(6, 'UTC')) COMMENT 'When the collector received the copy',
    `hops.altered` Array(Bool) COMMENT 'Content differs from what was sent',
    `hops.content_hash` Array(UInt64) COMMENT 'Hash of the normalised packet',
    `alterations.byte_offset` Array(Int32) COMMENT 'Altered bytes: offset in the IP packet',
    `alterations.xor_mask` Array(UInt8) COMMENT 'Bits that differ',
    `alterations.sent` Array(UInt8) COMMENT 'Byte as sent',
    `alterations.seen` Array(UInt8) COMMENT 'Byte as seen',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(sent_at)
ORDER BY (sent_at, probe_id)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'Probes that were not plain ok, and a sample of those that were';

CREATE TABLE IF NOT EXISTS link_evidence
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    from_node LowCardinality(String) COMMENT 'Node the packets left',
    to_node LowCardinality(String) COMMENT 'Node they went to; empty: lost, and the next hop is not known',
    leg LowCardinality(String) COMMENT 'encapsulated, probe, reply',
    passed UInt32 COMMENT 'Copies seen on both sides',
    lost UInt32 COMMENT 'Probes last seen on the near side',
    altered UInt32 COMMENT 'Packets whose content differs between the two sides',
    mirror_missing UInt32 COMMENT 'Copies that the far side should have mirrored and did not',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition, from_node, to_node, leg)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'What happened on every directed link and leg, per slot and input partition';

CREATE TABLE IF NOT EXISTS slots
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    slot_length_us Int64 COMMENT 'Length of the slot, us',
    watermark DateTime64(6, 'UTC') COMMENT 'Watermark at which the slot was complete',
    probes UInt64 COMMENT 'Probes sent in the slot',
    verdicts Map(LowCardinality(String), UInt64) COMMENT 'Probes per verdict',
    late_outcomes UInt64 COMMENT 'Outcomes that came after their probe was closed',
    late_digests UInt64 COMMENT 'Digests that came after their probe was closed, or found no probe',
    duplicates UInt64 COMMENT 'Rows seen twice',
    silent_sources Array(String) COMMENT 'Sources silent while the slot was open',
    evidence_rows UInt32 COMMENT 'Rows of link_evidence that belong to it',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'One row per slot and input partition; written after its evidence, so its presence says the evidence is in';

CREATE TABLE IF NOT EXISTS mirror_counts
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    switch LowCardinality(String) COMMENT 'Exporter',
    received UInt64 COMMENT 'Copies received',
    lost UInt64 COMMENT 'Copies missing by GRE sequence',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition, switch)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'Mirror copies per exporter, slot and input partition';

CREATE TABLE IF NOT EXISTS pair_counts
(
    slot DateTime64(6, 'UTC') COMMENT 'Start of the slot of event time',
    input_partition Int32 COMMENT 'Partition of the joined topics',
    kind LowCardinality(String) COMMENT 'north_south, east_west, inter_prober',
    from_node LowCardinality(String) COMMENT 'Decapsulating ToR; of kinds without one the switch that the Prober hangs on',
    to_node LowCardinality(String) COMMENT 'ToR of the target; of a target that is a Prober the switch that it hangs on',
    probes UInt32 COMMENT 'Probes sent',
    answered UInt32 COMMENT 'Replies that came in time',
    network_lost UInt32 COMMENT 'Lost in the network, there or back: verdicts network_loss and loop',
    silent UInt32 COMMENT 'Not answered although the ToR of the target saw them: verdict host_silent',
    altered UInt32 COMMENT 'Content altered on the way: verdicts altered and corrupted',
    rtt_sum_ns UInt64 COMMENT 'Sum of the round-trip times of those answered, ns',
    rtt_max_ns UInt64 COMMENT 'Longest of them, ns; 0: none was answered',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toDate(slot)
ORDER BY (slot, input_partition, kind, from_node, to_node)
SETTINGS non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1
COMMENT 'What became of the probes between each pair of switches, exactly, per slot and input partition';

CREATE TABLE IF NOT EXISTS fault_events
(
    fault_id String COMMENT 'Stable over the life of the fault',
    version UInt32 COMMENT '1 for the opening event, then one more each',
    state LowCardinality(String) COMMENT 'open, updated, resolved',
    kind LowCardinality(String) COMMENT 'network_loss, alteration, host_silent, mirror_outage, source_silent',
    severity LowCardinality(String) COMMENT 'info, warning, critical',
    `suspects.element` Array(String) COMMENT 'Switch, chip, directed link A~B or server; most likely first',
    `suspects.confidence` Array(Float64) COMMENT '0 to 1',
    direction String COMMENT 'Directed link A~B or leg on which it shows; empty: not known',
    loss_rate Nullable(Float64) COMMENT 'Estimate',
    loss_rate_low Nullable(Float64) COMMENT 'Lower end of the 95 % interval',
    loss_rate_high Nullable(Float64) COMMENT 'Upper end',
    probes_bad Int64 COMMENT 'Probes lost or altered so far',
    probes_total Int64 COMMENT 'Probes that crossed the element so far',
    first_seen DateTime64(6, 'UTC') COMMENT 'Send time of the first probe hit',
    last_seen DateTime64(6, 'UTC') COMMENT 'Slot of the last one',
    detected_at DateTime64(6, 'UTC') COMMENT 'Event time at which this event was decided',
    affected_servers Array(String) COMMENT 'Servers behind it, at most 100',
    `example_probes.probe_id` Array(UInt64) COMMENT 'A few probes to look at',
    `example_probes.sent_at` Array(DateTime64(6, 'UTC')) COMMENT 'Their send times',
    story String COMMENT 'One sentence for a person',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
ORDER BY (fault_id, version)
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'Every step in the life of every fault; the view fault_history has one row per fault';

CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String) COMMENT 'Topic of the message that could not be used',
    partition Int32 COMMENT 'Its partition',
    offset Int64 COMMENT 'Its offset',
    reason LowCardinality(String) COMMENT 'Short machine-readable reason',
    detail String COMMENT 'What was found, for a person',
    written_at DateTime64(3, 'UTC') COMMENT 'Kafka timestamp of the message',
    payload String COMMENT 'The message, at most 64 KiB of it; bytes',
    payload_bytes Int64 COMMENT 'Its full length',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset UInt64,
    kafka_index UInt32 COMMENT 'Row within the message'
)
ENGINE = ReplacingMergeTree(kafka_offset)
ORDER BY (topic, partition, offset, reason)
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'Messages, or parts of them, that could not be used';

-- The inventory as it was last loaded: the views nodes and links show the newest load only.

CREATE TABLE IF NOT EXISTS inventory_nodes
(
    name String,
    kind LowCardinality(String) COMMENT 'switch, server, prober',
    tier LowCardinality(String) COMMENT 'Of a switch: tor, leaf, spine, border, dci',
    pod LowCardinality(String) COMMENT 'Of a switch or, by its ToR, of a server; empty: none',
    attached_to LowCardinality(String) COMMENT 'ToR of a server, switch of a Prober',
    chips Array(LowCardinality(String)) COMMENT 'Of a switch',
    addresses Array(String),
    drained Bool COMMENT 'Of a switch: out of service',
    answers Bool COMMENT 'Of a server: false if it is known never to answer',
    node_number Int32 COMMENT 'As rows on topics carry it',
    loaded_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(loaded_at)
ORDER BY name
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'Nodes of every inventory loaded so far';

CREATE TABLE IF NOT EXISTS inventory_links
(
    from_node String,
    to_node String,
    from_port Int32,
    to_port Int32,
    loaded_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(loaded_at)
ORDER BY (from_node, to_node)
SETTINGS non_replicated_deduplication_window = 0
COMMENT 'Directed links of every inventory loaded so far';
