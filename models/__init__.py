"""Predictive models: what they say becomes fields of a reading."""
