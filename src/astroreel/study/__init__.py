"""The study: the long tables behind the report, beside what the pipeline itself measures."""
