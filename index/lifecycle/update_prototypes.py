"""Updating a bank of named prototypes from the stored items (Pailitao-VL §4.3).

Products without a prototype get one, other prototypes move with their items, some are merged or
split, and aliases lead from old names to new ones (`index.prototypes.online_update`).
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
    """The bank of a catalog, updated with every stored item, and its aliases.

    An item joins the prototype that is named after its product. `index.lifecycle.repartition` can
    then assign the catalog's items by the new bank. Without items, the same bank.

    Args:
        collection: the catalog, assigned by a bank of named prototypes.
        registry: has its bank and the aliases.
        rules: thresholds of the update.
        on_progress: called with the number of items read so far.

    Raises:
        BankError: the bank's prototypes have no names.
    """
    if not collection.bank.named:
        raise BankError(
            f"the prototypes of bank {collection.bank.version} have no names: build a bank from "
            "clusters first (lookstream prototypes build --clusters FILE --catalog DIR)"
        )
    version = collection.bank.version
    update = OnlineUpdate(registry.load(version), registry.aliases(version), rules)
    items = 0
    for page in collection.scan(vectors=True):
        update.observe(stack(page), [item.product_id for item in page])
        items += len(page)
        on_progress(items)
    return update.publish()
