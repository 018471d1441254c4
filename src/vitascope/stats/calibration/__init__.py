"""A model's number, or features of organoids, against a plate reader's: fits, their errors, and which well is next."""
