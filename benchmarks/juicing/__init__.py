"""Parts of `lookstream bench juicer`: each measures one claim of the juicer and returns its keys.

pictures.py  the pictures of a catalog as the backbone has them, with and without juice
boxes.py     boxes against ground truth
tokens.py    comparing by tokens: how many, and which
clutter.py   cluttered and clean photos, with and without juice
cost.py      milliseconds and bytes
"""
