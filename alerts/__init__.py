"""From the topic `faults` to Alertmanager and webhooks: a consumer like anybody else's."""
