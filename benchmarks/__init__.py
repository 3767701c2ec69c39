"""One file per benchmark, peers side by side in one run, one JSON object as the last line."""
