"""Work that ends: produce, evaluate, replay, generations, prototypes, demo."""
