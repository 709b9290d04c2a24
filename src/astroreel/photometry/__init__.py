"""From stamps to numbers: optimal photometry, first detections, light-curve features."""
