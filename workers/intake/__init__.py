"""Pictures in: fetch a reference (`fetch`), decode the bytes (`decode`)."""
