"""Feed files as shops write them, and the events that they become."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from models.catalog.coerce import coerce_event
from models.catalog.sources.feed_file import mapped_rows, open_feed
from models.catalog.sources.feeds import FeedFormat
from models.errors import CatalogError
from workers.config.catalog import CatalogSettings

GOOGLE = """<?xml version="1.0"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>A1</g:id><title>Oat &amp; milk</title><description>&lt;b&gt;Bold&lt;/b&gt;</description>
<g:image_link>https://cdn.example/1.jpg</g:image_link>
<g:additional_image_link>https://cdn.example/2.jpg</g:additional_image_link>
<g:additional_image_link>https://cdn.example/3.jpg</g:additional_image_link>
<g:price>12.50 EUR</g:price><g:availability>in_stock</g:availability>
<g:product_type>Food > Milk</g:product_type><g:brand>Oatly</g:brand>
<g:item_group_id>G</g:item_group_id><g:shipping><g:price>3 EUR</g:price></g:shipping></item>
<item><g:id>A2</g:id><title>Bread</title><g:availability>preorder</g:availability></item>
</channel></rss>"""


def events(path: Path, **catalog: Any) -> list[dict[str, Any]]:
    """The coerced events of a file; the reason in place of one that is refused."""
    settings = CatalogSettings.model_validate(catalog)
    feed = open_feed(path, settings.feed_format)
    found = []
    for row in mapped_rows(feed, settings.feed_mapping(feed.format)):
        if row.problem:
            found.append({"line": row.line, "problem": row.problem})
        else:
            found.append(coerce_event(row.fields).fields)
    return found


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_google_xml(tmp_path: Path) -> None:
    first, second = events(write(tmp_path, "feed.xml", GOOGLE))
    assert first == {
        "type": "upsert",
        "product_id": "A1",
        "title": "Oat & milk",
        "description": "Bold",
        "category": ["Food", "Milk"],
        "image": "https://cdn.example/1.jpg",
        "images": ["https://cdn.example/2.jpg", "https://cdn.example/3.jpg"],
        "price": 12.5,
        "currency": "EUR",
        "in_stock": True,
        "attributes": {"brand": "Oatly", "item_group_id": "G"},
    }
    assert second["in_stock"] is False


def test_google_atom(tmp_path: Path) -> None:
    atom = (
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">'
        '<entry><g:id>7</g:id><title>Milk</title><link href="https://shop.example/7"/></entry>'
        "</feed>"
    )
    [event] = events(write(tmp_path, "feed.xml", atom))
    assert event["title"] == "Milk"
    assert event["attributes"] == {"link": "https://shop.example/7"}


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 or str()};" * 10}">' for n in range(1, 10))
        + "]><rss><item><id>&a9;</id></item></rss>"
    )
    with pytest.raises(CatalogError, match="defines entities"):
        events(write(tmp_path, "bomb.xml", bomb))
    outside = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><rss><item>&f;</item></rss>'
    with pytest.raises(CatalogError, match="defines entities"):
        events(write(tmp_path, "outside.xml", outside))


def test_a_feed_that_breaks_off_says_after_which_item(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="breaks off after item 1"):
        events(write(tmp_path, "feed.xml", GOOGLE[: GOOGLE.index("<item><g:id>A2") + 20]))


def test_google_tsv(tmp_path: Path) -> None:
    tsv = (
        "id\ttitle\timage link\tadditional image link\tprice\tavailability\r\n"
        "007\tMilk\thttps://c/1.jpg\thttps://c/2.jpg,https://c/3.jpg\t1,99 EUR\tout of stock\r\n"
    )
    [event] = events(write(tmp_path, "feed.txt", "\ufeff" + tsv))
    assert event["product_id"] == "007"
    assert event["images"] == ["https://c/2.jpg", "https://c/3.jpg"]
    assert (event["price"], event["currency"], event["in_stock"]) == (1.99, "EUR", False)


SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,"
    "Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,"
    "Image Src,Status\r\n"
    'tee,Tee,"<p>Soft,\nlight</p>",Acme,Shirts,"a, b",true,Size,S,T-S,shopify,0,deny,20.00,'
    "https://c/1.jpg,active\r\n"
    "tee,,,,,,,,M,T-M,shopify,4,deny,18.00,https://c/2.jpg,\r\n"
    "tee,,,,,,,,,,,,,,https://c/3.jpg,\r\n"
    "mug,Mug,,Acme,Mugs,,true,Title,Default Title,M1,,,,9.00,https://c/4.jpg,draft\r\n"
)


def test_shopify_rows_are_grouped(tmp_path: Path) -> None:
    tee, mug = events(write(tmp_path, "shopify.csv", SHOPIFY), map={"currency": "'USD'"})
    assert tee == {
        "type": "upsert",
        "product_id": "tee",
        "title": "Tee",
        "description": "Soft, light",
        "category": ["Shirts"],
        "images": ["https://c/1.jpg", "https://c/2.jpg", "https://c/3.jpg"],
        "price": 18.0,
        "currency": "USD",
        "in_stock": True,
        "attributes": {
            "vendor": "Acme",
            "type": "Shirts",
            "tags": "a, b",
            "Size": "S, M",
            "sku": "T-S",
        },
    }
    assert mug == {"type": "delete", "product_id": "mug"}


WOOCOMMERCE = (
    "ID,Type,SKU,Name,Published,Short description,Description,In stock?,Regular price,Categories,"
    "Images,Parent,Attribute 1 name,Attribute 1 value(s)\n"
    '1,variable,T,Tee,1,,"<b>Soft</b>",1,,"Shop, Clothes > Shirts","https://c/1.jpg, '
    'https://c/2.jpg",,Size,"S, M"\n'
    "2,variation,T-S,Tee - S,1,,,1,\"21,00\",,https://c/3.jpg,id:1,Size,S\n"
    '3,variation,T-M,Tee - M,1,,,0,"19,50",,,id:1,Size,M\n'
    "4,simple,M,Mug,0,,,0,9,Mugs,,,,\n"
)  # fmt: skip


def test_woocommerce_variations_belong_to_their_product(tmp_path: Path) -> None:
    tee, mug = events(write(tmp_path, "woo.csv", WOOCOMMERCE))
    assert (tee["product_id"], tee["category"]) == ("1", ["Clothes", "Shirts"])
    assert tee["images"] == ["https://c/1.jpg", "https://c/2.jpg", "https://c/3.jpg"]
    assert (tee["price"], tee["in_stock"], tee["description"]) == (19.5, True, "Soft")
    assert tee["attributes"] == {"sku": "T", "Size": "S, M"}
    assert mug == {"type": "delete", "product_id": "4"}


MAP = {
    "product_id": "Artikelnummer",
    "title": "Bezeichnung",
    "category": "split(Pfad, '/')",
    "image": "concat('https://cdn.example/', Bild)",
    "price": "Preis",
    "in_stock": "Bestand > 0",
    "attributes": ["Farbe"],
}
GERMAN = (
    "Artikelnummer;Bezeichnung;Pfad;Bild;Preis;Bestand;Farbe\r\n"
    '17;Käse;Essen/Käse;k.jpg;"1.299,50 €";3;gelb\r\n'
    "18;Brot;Essen;;4,20;0;\r\n"
    "19;zu;viele;Zellen;in;dieser;Zeile;hier\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    cheese, bread, broken = events(write(tmp_path, "t.csv", GERMAN, encoding), map=MAP)
    assert cheese["title"] == "Käse"
    assert cheese["category"] == ["Essen", "Käse"]
    assert cheese["image"] == "https://cdn.example/k.jpg"
    assert (cheese["price"], cheese["currency"], cheese["in_stock"]) == (1299.5, "EUR", True)
    assert cheese["attributes"] == {"Farbe": "gelb"}
    assert (bread["image"], bread["in_stock"], bread["price"]) == (None, False, 4.2)
    assert broken["line"] == 4
    assert "8 cells, and the header 7" in broken["problem"]


def test_a_column_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no column `Farb`, which catalog.map names; it has"):
        events(write(tmp_path, "t.csv", GERMAN), map={**MAP, "attributes": ["Farb"]})
    with pytest.raises(CatalogError, match="no column product_id; it has `Artikelnummer`"):
        events(write(tmp_path, "t.csv", GERMAN))


def test_a_table_of_events_needs_no_mapping(tmp_path: Path) -> None:
    text = "product_id,title,price,category\n7,Milk,1.5,Food > Milk\n"
    [event] = events(write(tmp_path, "t.csv", text))
    assert event == {
        "product_id": "7",
        "title": "Milk",
        "price": 1.5,
        "category": ["Food", "Milk"],
    }


def test_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", '{"sku": 7, "name": "Milk"}\n\n{"sku": \n')
    good, bad = events(path, map={"product_id": "sku", "title": "name", "price": "cost"})
    assert (good["product_id"], good["title"], good["price"]) == ("7", "Milk", None)
    assert bad["line"] == 3


def test_a_quoted_cell_keeps_the_line_of_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", 'product_id,title\n1,"a\nb"\n2\n')
    assert [one.get("line") for one in events(path)] == [None, 4]


def test_parquet(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("needs pyarrow (the extra parquet)")
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"sku": [7, 8], "name": ["Milk", None], "pics": [["a.jpg"], []]}), path)
    mapping = {"product_id": "sku", "title": "name", "images": "pics"}
    milk, _ = events(path, map=mapping)
    assert (milk["product_id"], milk["title"], milk["images"]) == ("7", "Milk", ["a.jpg"])
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(CatalogError, match="is no Parquet file"):
        events(path, map=mapping)


@pytest.mark.parametrize(("name", "text"), [("a.csv", ""), ("b.csv", "\n"), ("c.csv", "a,a\n1,2")])
def test_what_is_no_table_says_so(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"is empty|has no header|has two columns 'a'"):
        events(write(tmp_path, name, text), map={"product_id": "a", "title": "a"})


def test_a_format_that_is_given_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "id,image_link\n1,a.jpg\n")
    assert open_feed(path).format is FeedFormat.GOOGLE
    assert open_feed(path, FeedFormat.CSV).format is FeedFormat.CSV
    [event] = events(path, source={"format": "csv"}, map={"product_id": "id", "title": "id"})
    assert event == {"type": "upsert", "product_id": "1", "title": "1"}
