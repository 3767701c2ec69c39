"""The digest of an item names what it is, not how it came to be."""

import msgspec

from index.item import PROVENANCE, Item, content_digest


def test_how_a_picture_was_had_is_no_part_of_the_content() -> None:
    item = Item(item_id="p#0", product_id="p", prototype=0, payload={"title": "apple"})
    fetched = msgspec.structs.replace(item, payload={**item.payload, PROVENANCE: {"etag": "1"}})
    renamed = msgspec.structs.replace(item, payload={"title": "pear"})
    assert content_digest(fetched) == content_digest(item)
    assert content_digest(renamed) != content_digest(item)
