"""Calibrate a model on wells with a measured number."""
