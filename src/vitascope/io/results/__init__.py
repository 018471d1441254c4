"""Result folders, written and opened again."""
