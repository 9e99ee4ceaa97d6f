"""Stand-ins for devices, people, the carrier and the mail server; production imports none."""
