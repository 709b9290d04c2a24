"""Where and when a survey looks: cameras, observing conditions, surveys as files, forecasts."""
