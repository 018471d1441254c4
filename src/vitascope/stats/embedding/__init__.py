"""Images as points in a plane, what the plane follows, and whether kinds of images lie apart in it."""
