"""From the broker to readings: MQTT, the journal, decoding, quarantine."""
