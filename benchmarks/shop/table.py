"""A table of products in PostgreSQL, and random changes of its rows, by SQL alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import psycopg

TABLE = """
CREATE TABLE products (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    path text NOT NULL,
    price numeric(12, 2) NOT NULL,
    stock integer NOT NULL DEFAULT 0,
    image text,
    details text NOT NULL,
    attributes jsonb NOT NULL
);
ALTER TABLE products ALTER COLUMN details SET STORAGE EXTERNAL;
"""
LARGE = "Made of oats and water, without sugar. " * 65
"""A text that is stored out of line, and logged only when it changes."""
ROWS = 200
END = 10**9
"""The id of the last row: what was changed before it has been sent when it has."""


@dataclass
class Table:
    """The rows, and random changes of them."""

    connection: psycopg.Connection[Any]
    pictures: list[str]
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    ids: list[int] = field(default_factory=list)
    changes: int = 0
    _last: int = 0

    def fill(self) -> None:
        """Make the table, with its first rows."""
        self.connection.execute(TABLE)
        for _ in range(ROWS):
            self.insert()

    def insert(self) -> None:
        """A new row; every other one has a large text."""
        self._last += 1
        number = self._last
        picture = self.pictures[number] if number < len(self.pictures) else None
        self._run(
            "INSERT INTO products VALUES (%s, %s, 'Food>Milk', %s, 3, %s, %s, %s)",
            number,
            f"Oat milk {number}",
            self._price(),
            picture,
            "short" if number % 2 else LARGE,
            '{"color": "red"}',
        )
        self.ids.append(number)

    def change_price(self, number: int) -> float:
        """A price that no product had; returns it."""
        price = self._price()
        self._run("UPDATE products SET price = %s WHERE id = %s", price, number)
        return price

    def change(self) -> None:
        """One change of any kind."""
        number = self.rng.choice(self.ids)
        kind = self.rng.random()
        if kind < 0.7:
            self.change_price(number)
        elif kind < 0.8:
            self._run("UPDATE products SET stock = 3 - stock WHERE id = %s", number)
        elif kind < 0.86:
            self._run("UPDATE products SET name = %s WHERE id = %s", self._name(), number)
        elif kind < 0.88 or len(self.ids) < ROWS:
            self.insert()
        elif kind < 0.93:
            self._run("DELETE FROM products WHERE id = %s", number)
            self.ids.remove(number)
        else:
            self._move(number)

    def end(self) -> None:
        """The last row."""
        self._run(
            "INSERT INTO products VALUES (%s, 'End', 'Food>Milk', 0, 0, NULL, 'end', '{}')", END
        )

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the index has to hold."""
        query = "SELECT id, name, details, path, price, stock, image, attributes FROM products"
        return {
            str(number): {
                "title": name,
                "description": details,
                "category": path.split(">"),
                "image": image,
                "price": float(price),
                "currency": "EUR",
                "in_stock": stock > 0,
                "attributes": attributes,
            }
            for number, name, details, path, price, stock, image, attributes in (
                self.connection.execute(query)
            )
        }

    def _move(self, number: int) -> None:
        """Another key. A large text that stays as it is would be missing from the new row's event,
        so it is written with it."""
        self._last += 1
        self._run(
            "UPDATE products SET id = %s, details = details || '' WHERE id = %s", self._last, number
        )
        self.ids[self.ids.index(number)] = self._last

    def _price(self) -> float:
        return (self.changes + 1) / 100

    def _name(self) -> str:
        return f"Oat milk of {self.changes}"

    def _run(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement.encode(), values)
        self.changes += 1
