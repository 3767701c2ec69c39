"""Text in, sentence vectors, hashed n-grams and trigram overlaps out."""
