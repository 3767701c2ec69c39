"""What the juicer is measured by: each module measures one claim and returns its keys.

pictures.py  the pictures of a catalog as the backbone has them, with and without juice
boxes.py     boxes against ground truth
tokens.py    comparing by tokens: how many, and which
clutter.py   cluttered and clean photos, with and without juice
cost.py      milliseconds and bytes
scenes.py    several objects in one picture
training.py  training on juiced, sieved and random photos
typos.py     words with typos
"""
