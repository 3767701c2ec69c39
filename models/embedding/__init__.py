"""Pictures and texts in, one vector and juice out: see `encoder`."""
