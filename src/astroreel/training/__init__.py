"""Training, fine-tuning, calibration and search of the recurrent networks."""
