"""What the juicer is measured by: each module measures one claim and returns its keys."""
