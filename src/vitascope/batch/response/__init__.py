"""From a folder of results, or any table of wells, to curves: tables, figures and a report."""
