"""What changes a whole catalog: other prototypes, another generation."""
