"""Classifying what arrives: frame by frame from a kept state, and over HTTP."""
