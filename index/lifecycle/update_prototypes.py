"""Bringing a bank of products up to date with what is stored by now (Pailitao-VL §4.3).

Products that came since have no prototype yet and get one; the others follow their items; what has
become one is merged, what fell apart is split, and old names lead to what became of them.
"""

from collections.abc import Callable

from index.errors import BankError
from index.milvus.collection import Collection
from index.prototypes.aliases import Aliases
from index.prototypes.bank import PrototypeBank
from index.prototypes.online_update import OnlineUpdate, UpdateRules
from index.prototypes.registry import BankRegistry
from index.vectors import stack


def update_prototypes(
    collection: Collection,
    registry: BankRegistry,
    rules: UpdateRules | None = None,
    on_progress: Callable[[int], None] = lambda items: None,
) -> tuple[PrototypeBank, Aliases]:
    """The bank of a catalog and its aliases after every stored item has joined a prototype.

    Items join the prototype that bears their product's id. `index.lifecycle.repartition` then keys
    the catalog by the bank. The same bank comes back where nothing is stored.

    Args:
        collection: the catalog, keyed by a bank of named prototypes.
        registry: keeps its present bank and the aliases.
        rules: when prototypes merge, split and appear.
        on_progress: called with the number of items seen so far.

    Raises:
        BankError: the bank's prototypes have no names.
    """
    if not collection.bank.named:
        raise BankError(
            f"bank {collection.bank.version} stands for no products: build one from clusters first "
            "(lookstream prototypes build --clusters FILE --catalog DIR)"
        )
    version = collection.bank.version
    upkeep = OnlineUpdate(registry.load(version), registry.aliases(version), rules)
    seen = 0
    for page in collection.scan(vectors=True):
        upkeep.observe(stack(page), [item.product_id for item in page])
        seen += len(page)
        on_progress(seen)
    return upkeep.publish()
