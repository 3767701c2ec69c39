"""Image networks: pictures in, patch features at several depths out."""
