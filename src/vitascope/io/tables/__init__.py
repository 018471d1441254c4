"""Tables of people and instruments: plate maps, plate readers, measured values; CSV written."""
