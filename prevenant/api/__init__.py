"""The REST API, the live story and the webhooks."""
