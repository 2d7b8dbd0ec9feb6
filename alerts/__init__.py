"""From the topic `faults` to the tools that people already use: Alertmanager and webhooks."""
