"""Where pictures lie: resampling, registration, duplicates, and what is wrong with a pair."""
