"""What `lookstream bench encoders` is made of."""
