"""Labelled real samples as they arrive: the inbox, the quarantine, the labelled set and the scheduled job."""
