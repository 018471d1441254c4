"""Grey values: histograms, thresholds, background, filters, quality, and pictures made worse on purpose."""
