"""What makes a model: recipe, data, folds and fine-tuning settings; free of torch."""
