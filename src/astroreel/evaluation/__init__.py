"""Evaluation: the protocol, metrics with intervals, the thesis's figures and the report."""
