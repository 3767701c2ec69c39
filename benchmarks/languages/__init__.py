"""Products with queries in seven languages, for `lookstream bench text`.

``grocery.jsonl`` has the 81 products of the example catalog (GroceryStoreDataset, MIT), and
``synthetic.jsonl`` the first hundred products of the synthetic catalog of seed 26 whose surface and
type no other has. Each line is a product as in ``products.jsonl``, without picture, and ``queries``
by language: German, French, Spanish, Polish, Chinese and Arabic translations of the title, by hand,
as a shopper would type them, and in English the same by other words. Of a synthetic title they
leave out brand and line, which need no translation. Nothing is fitted on them.
"""
