"""From doses and responses to decisions: curves, growth rates, liver injury and comparisons, on numbers alone."""
