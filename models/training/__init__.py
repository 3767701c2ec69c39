"""Everything that fits parameters; serving never imports it."""
