"""Files to the vocabulary and back: images, names, results, models."""
