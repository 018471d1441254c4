"""Whether images still look like those one trusts: references as files and by name, series of images, and plates."""
