"""The formats of feed files, and what the columns of each mean: mappings like those of settings.

    google       Google Merchant Center's product data, XML (RSS or Atom) or tab-separated
    shopify      the product CSV of a Shopify shop, whose rows are grouped by Handle
    woocommerce  the product CSV of WooCommerce
    csv, jsonl, parquet   any table; what its columns mean the settings say

Prices are those without a sale: that a sale is over is in other columns, and only the shop knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FeedFormat(StrEnum):
    """How a file is written."""

    GOOGLE = "google"
    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Feed:
    """The mapping and the conditions of a format."""

    map: Mapping[str, object]
    when: Mapping[str, str] = field(default_factory=dict)


FEEDS: Mapping[FeedFormat, Feed] = {
    FeedFormat.GOOGLE: Feed(
        {
            "product_id": "id",
            "title": "title",
            "description": "description",
            "category": "split(coalesce(product_type, google_product_category), '>')",
            "image": "image_link",
            "images": "split(additional_image_link, ',')",
            "price": "price",
            "in_stock": "availability in ('in stock', 'in_stock')",
            "attributes": (
                "brand",
                "gtin",
                "mpn",
                "color",
                "size",
                "material",
                "pattern",
                "gender",
                "age_group",
                "condition",
                "item_group_id",
                "link",
            ),
        }
    ),
    # Images, Price, Available and Attributes are what `models.catalog.sources.grouped_rows` makes.
    FeedFormat.SHOPIFY: Feed(
        {
            "product_id": "Handle",
            "title": "Title",
            "description": "`Body (HTML)`",
            "category": "split(coalesce(`Product Category`, Type), '>')",
            "images": "Images",
            "price": "Price",
            "in_stock": "Available",
            "attributes": "Attributes",
        },
        {
            "filter": "(Published is null or Published) and "
            "(Status is null or Status = 'active' or Status = 'Active')"
        },
    ),
    FeedFormat.WOOCOMMERCE: Feed(
        {
            "product_id": "coalesce(ID, SKU)",
            "title": "Name",
            "description": "coalesce(Description, `Short description`)",
            "category": "Category",
            "images": "Images",
            "price": "`Regular price`",
            "in_stock": "`In stock?` in ('1', 'backorder', 'instock')",
            "attributes": "Attributes",
        },
        {"filter": "Published is null or Published = 1"},
    ),
}
