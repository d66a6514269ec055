"""The settings and the apps file: read once at start, checked together, never changed after."""
