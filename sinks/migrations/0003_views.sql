-- Answers to the common questions. "The last hour" is the last hour of event time in the store, not of the clock on
-- the wall, so that the views show the same for a replay as they did live. For other periods ask link_minutes,
-- probe_results or slots.

CREATE OR REPLACE VIEW nodes AS
SELECT * EXCEPT (loaded_at) FROM inventory_nodes FINAL
WHERE loaded_at = (SELECT max(loaded_at) FROM inventory_nodes);

CREATE OR REPLACE VIEW links AS
SELECT * EXCEPT (loaded_at) FROM inventory_links FINAL
WHERE loaded_at = (SELECT max(loaded_at) FROM inventory_links);

-- Event time now.
CREATE OR REPLACE VIEW newest_slot AS
SELECT max(slot) AS slot FROM slots;

-- One row per fault, newest first: what its latest event says, and its life.
CREATE OR REPLACE VIEW fault_history AS
SELECT
    fault_id,
    argMax(e.state, e.version) AS state,
    argMax(e.kind, e.version) AS kind,
    argMax(e.severity, e.version) AS severity,
    argMax(e.suspects.element, e.version) AS suspects,
    argMax(e.suspects.confidence, e.version) AS confidences,
    argMax(e.direction, e.version) AS direction,
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
    argMax(e.story, e.version) AS story,
    max(e.version) AS events
FROM fault_events AS e FINAL
GROUP BY fault_id
ORDER BY opened_at DESC;

-- Links of the last hour on which packets were lost or altered, worst first. Leg and direction are never merged:
-- most losses show in one only. `crossings` is every packet that was known to try, NULL where the link is not
-- known (an empty `to_node`: lost on the way up). Links of servers are left to
-- host_health: a silent server and a lossy last link look alike, and silent servers would crowd out everything else.
CREATE OR REPLACE VIEW worst_links AS
SELECT
    from_node, to_node, leg,
    if(to_node = '', NULL, sum(m.passed) + sum(m.lost)) AS crossings,
    sum(m.lost) AS lost,
    lost / crossings AS loss_rate,
    sum(m.altered) AS altered,
    altered / greatest(sum(m.passed), 1) AS altered_rate,
    minIf(m.minute, m.lost > 0 OR m.altered > 0) AS first_bad_minute,
    maxIf(m.minute, m.lost > 0 OR m.altered > 0) AS last_bad_minute
FROM link_minutes AS m
WHERE m.minute > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
    AND m.from_node NOT IN (SELECT name FROM nodes WHERE kind = 'server')
    AND m.to_node NOT IN (SELECT name FROM nodes WHERE kind = 'server')
GROUP BY from_node, to_node, leg
HAVING lost > 0 OR altered > 0
ORDER BY lost + altered DESC, loss_rate DESC, from_node, to_node, leg;

-- Every server of the inventory over the last hour. Silent probes are counted exactly (all of them are kept);
-- `answered` are replies that left the server, from the evidence; round-trip times come from the sample.
CREATE OR REPLACE VIEW host_health AS
SELECT
    n.name AS server, n.attached_to AS tor, n.pod AS pod, n.answers AS answers,
    r.silent AS silent,
    e.answered AS answered,
    if(silent + answered = 0, NULL, silent / (silent + answered)) AS silent_rate,
    r.last_silent_at AS last_silent_at,
    r.network_losses AS network_losses,
    r.rtt_us_median AS rtt_us_median,
    r.rtt_us_p99 AS rtt_us_p99
FROM nodes AS n
LEFT JOIN
(
    SELECT
        target,
        countIf(verdict = 'host_silent') AS silent,
        if(silent = 0, NULL, maxIf(sent_at, verdict = 'host_silent')) AS last_silent_at,
        countIf(verdict = 'network_loss') AS network_losses,
        quantileExactOrNull(0.5)(rtt_ns) / 1e3 AS rtt_us_median,
        quantileExactOrNull(0.99)(rtt_ns) / 1e3 AS rtt_us_p99
    FROM probe_results FINAL
    WHERE sent_at > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
    GROUP BY target
) AS r ON r.target = n.name
LEFT JOIN
(
    SELECT from_node, sum(passed) AS answered
    FROM link_minutes
    WHERE leg = 'reply' AND minute > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
    GROUP BY from_node
) AS e ON e.from_node = n.name
WHERE n.kind = 'server'
ORDER BY silent DESC, server;

-- Every switch of the inventory over the last hour: how good its mirror is. `missing` are copies that a probe's other
-- copies prove to have existed (any path), `lost_in_transit` those that the GRE sequence misses.
CREATE OR REPLACE VIEW mirror_health AS
SELECT
    n.name AS switch, n.tier AS tier, n.pod AS pod,
    c.received AS received,
    c.lost AS lost_in_transit,
    e.missing AS missing,
    if(e.seen + e.missing = 0, NULL, e.missing / (e.seen + e.missing)) AS missing_rate,
    c.newest_slot AS newest_slot
FROM nodes AS n
LEFT JOIN
(
    SELECT
        switch, sum(m.received) AS received, sum(m.lost) AS lost,
        toNullable(maxIf(m.slot, m.received > 0)) AS newest_slot
    FROM mirror_counts AS m FINAL
    WHERE slot > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
    GROUP BY switch
) AS c ON c.switch = n.name
LEFT JOIN
(
    SELECT to_node, sum(mirror_missing) AS missing, sum(passed) AS seen
    FROM link_minutes
    WHERE minute > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
    GROUP BY to_node
) AS e ON e.to_node = n.name
WHERE n.kind = 'switch'
ORDER BY missing_rate DESC NULLS LAST, switch;

-- Every directed link of the inventory over the last hour: is it probed at all?
CREATE OR REPLACE VIEW coverage AS
SELECT
    l.from_node AS from_node, l.to_node AS to_node,
    e.crossings AS crossings,
    crossings > 0 AS covered,
    e.legs AS legs
FROM links AS l
LEFT JOIN
(
    SELECT from_node, to_node, sum(passed) + sum(lost) AS crossings, arraySort(groupUniqArray(leg)) AS legs
    FROM link_minutes
    WHERE minute > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
    GROUP BY from_node, to_node
) AS e ON e.from_node = l.from_node AND e.to_node = l.to_node
ORDER BY covered, from_node, to_node;

-- Probes from switch to switch over the last hour, all of them counted: from the decapsulating ToR, or for kinds without
-- one from the switch that the Prober hangs on, to the ToR of the target. Losses in the network and silent hosts are
-- kept apart. For other periods ask pair_counts.
CREATE OR REPLACE VIEW tor_matrix AS
SELECT
    kind, from_node, to_node,
    sum(p.probes) AS probes,
    sum(p.answered) AS answered,
    sum(p.network_lost) AS network_losses,
    network_losses / probes AS loss_rate,
    sum(p.silent) AS silent,
    silent / probes AS silent_rate,
    sum(p.altered) AS altered,
    if(answered = 0, NULL, sum(p.rtt_sum_ns) / answered / 1e3) AS rtt_us_mean,
    if(answered = 0, NULL, max(p.rtt_max_ns) / 1e3) AS rtt_us_max
FROM pair_counts AS p FINAL
WHERE p.slot > (SELECT slot FROM newest_slot) - INTERVAL 1 HOUR
GROUP BY kind, from_node, to_node
ORDER BY loss_rate DESC, kind, from_node, to_node;

-- The same from pod to pod. A switch that is in no pod stands for itself.
CREATE OR REPLACE VIEW pod_matrix AS
SELECT
    m.kind AS kind,
    if(f.pod = '', m.from_node, f.pod) AS from_pod,
    if(t.pod = '', m.to_node, t.pod) AS to_pod,
    sum(m.probes) AS probes,
    sum(m.answered) AS answered,
    sum(m.network_losses) AS network_losses,
    network_losses / probes AS loss_rate,
    sum(m.silent) AS silent,
    silent / probes AS silent_rate,
    sum(m.altered) AS altered,
    if(answered = 0, NULL, sum(m.rtt_us_mean * m.answered) / answered) AS rtt_us_mean,
    max(m.rtt_us_max) AS rtt_us_max
FROM tor_matrix AS m
LEFT JOIN nodes AS f ON f.name = m.from_node
LEFT JOIN nodes AS t ON t.name = m.to_node
GROUP BY kind, from_pod, to_pod
ORDER BY kind, from_pod, to_pod;
