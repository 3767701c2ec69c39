"""Training an encoder to recognise products: contrast, prototypes from centroids, identities.

Pailitao-VL §4. Needs torch and is imported by the training commands only.
"""
