"""Training an encoder to recognise products: contrast, a library of prototypes, classification.

Pailitao-VL §4. Everything here needs torch and is imported by the training commands only.
"""
