"""What file names tell: grouping, instruments and user patterns."""
