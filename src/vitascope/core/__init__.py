"""The vocabulary: images, parameters, progress, results, cards and errors."""
