"""Scheduled fine-tuning: labels arrive, and a challenger that has passed the gate appears by itself."""
