"""The well or spheroid in a picture, its instances, and the code of its amount."""
