-- Views that the cookbook's questions need again and again; docs/sql-cookbook.md shows them at work.

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
    dateDiff('microsecond', first_seen, resolved_at) / 1e6 AS resolution_s,
    argMax(e.affected_servers, e.version) AS affected_servers,
    argMax(e.silenced, e.version) AS silenced,
    argMax(e.flaps, e.version) AS flaps,
    argMax(e.part_of, e.version) AS part_of,
    argMax(e.story, e.version) AS story,
    max(e.version) AS events
FROM fault_events AS e FINAL
GROUP BY fault_id
ORDER BY opened_at DESC;

-- What became of each server's probes, minute by minute, from the evidence and from all probes that were not plain ok.
-- `blame` says whose fault the bad minute was: the network's or the server's, empty where all went well.
CREATE OR REPLACE VIEW server_minutes AS
SELECT
    server, minute,
    sum(s.replies) AS answered,
    sum(s.unanswered) AS silent,
    sum(s.gone) AS lost_in_network,
    sum(s.changed) AS altered,
    sum(s.slow) AS late,
    arraySort(groupUniqArrayArray(s.places)) AS lost_at,
    multiIf(lost_in_network + silent + altered = 0, '', lost_in_network + altered > silent, 'network', 'server') AS blame
FROM
(
    SELECT
        from_node AS server, minute, passed AS replies,
        0 AS unanswered, 0 AS gone, 0 AS changed, 0 AS slow, CAST([] AS Array(String)) AS places
    FROM link_minutes
    WHERE leg = 'reply' AND from_node IN (SELECT name FROM nodes WHERE kind = 'server')
    UNION ALL
    SELECT
        target AS server, toStartOfMinute(sent_at) AS minute, 0 AS replies,
        toUInt64(verdict = 'host_silent') AS unanswered,
        toUInt64(verdict IN ('network_loss', 'loop', 'corrupted', 'unobserved')) AS gone,
        toUInt64(verdict = 'altered') AS changed,
        toUInt64(verdict = 'late_reply') AS slow,
        if(gone + changed > 0, [concat(last_seen, '~', next_node)], []) AS places
    FROM probe_results FINAL
    WHERE NOT sampled AND kind != 'inter_prober'
) AS s
GROUP BY server, minute;

-- Every directed link between switches and to Probers, day by day (UTC). Links of servers are left to server_minutes.
-- `crossings` is NULL where the link is not known (an empty `to_node`: lost on the way up).
CREATE OR REPLACE VIEW link_days AS
SELECT
    toDate(m.minute) AS day, from_node, to_node, leg,
    if(to_node = '', NULL, sum(m.passed) + sum(m.lost)) AS crossings,
    sum(m.lost) AS lost,
    lost / crossings AS loss_rate,
    sum(m.altered) AS altered,
    uniqExactIf(m.minute, m.lost > 0 OR m.altered > 0) AS bad_minutes
FROM link_minutes AS m
WHERE m.from_node NOT IN (SELECT name FROM nodes WHERE kind = 'server')
    AND m.to_node NOT IN (SELECT name FROM nodes WHERE kind = 'server')
GROUP BY day, from_node, to_node, leg;

-- How available the network was to the servers of each pod, day by day (UTC): the share of probes to them that it did
-- not lose. Silent servers are not its fault. `nines` is NULL on a day without a loss. A target outside all pods stands
-- for the switch that it hangs on.
CREATE OR REPLACE VIEW pod_days AS
SELECT
    toDate(p.slot) AS day,
    if(n.pod = '', p.to_node, n.pod) AS pod,
    sum(p.probes) AS probes,
    sum(p.network_lost) AS network_losses,
    1 - network_losses / probes AS availability,
    if(network_losses = 0, NULL, -log10(network_losses / probes)) AS nines
FROM pair_counts AS p FINAL
LEFT JOIN nodes AS n ON n.name = p.to_node
GROUP BY day, pod
HAVING probes > 0;

-- Round-trip times of the sampled probes, with the pods that they went between. The sample is drawn without regard to
-- the time that a probe took, so its quantiles are those of all probes that were answered in time.
CREATE OR REPLACE VIEW rtt_samples AS
SELECT
    r.sent_at AS sent_at, r.kind AS kind, r.from_pod AS from_pod,
    if(t.pod = '', t.attached_to, t.pod) AS to_pod,
    r.target AS target,
    r.rtt_ns / 1e3 AS rtt_us
FROM
(
    SELECT
        p.sent_at AS sent_at, p.kind AS kind, p.target AS target, p.rtt_ns AS rtt_ns,
        if(f.pod = '', f.name, f.pod) AS from_pod
    FROM
    (
        SELECT q.sent_at, q.kind, q.target, q.rtt_ns, if(q.via = '', b.attached_to, q.via) AS entered_at
        FROM probe_results AS q FINAL
        LEFT JOIN nodes AS b ON b.name = q.prober
        WHERE q.sampled
    ) AS p
    LEFT JOIN nodes AS f ON f.name = p.entered_at
) AS r
LEFT JOIN nodes AS t ON t.name = r.target;

-- What hangs on each switch, by the ways that flows take now: servers with a flow that crosses it on any leg, and those
-- of which every flow does, which a failure of the switch would cut off from all Probers until routing reacts.
CREATE OR REPLACE VIEW switch_reach AS
SELECT
    c.switch AS switch,
    count() AS servers,
    countIf(c.flows = a.flows) AS servers_cut_off,
    sum(c.flows) AS flows
FROM
(
    SELECT switch, target, uniqExact(prober, via, source_port) AS flows
    FROM flow_paths FINAL
    ARRAY JOIN switches AS switch
    GROUP BY switch, target
) AS c
INNER JOIN
(
    SELECT target, uniqExact(prober, via, source_port) AS flows
    FROM flow_paths FINAL
    GROUP BY target
) AS a ON a.target = c.target
WHERE c.target IN (SELECT name FROM nodes WHERE kind = 'server')
GROUP BY switch
ORDER BY servers_cut_off DESC, servers DESC, switch;
