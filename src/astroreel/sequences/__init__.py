"""Image sequences: the record, its stored forms, validation, preparation and splits."""
