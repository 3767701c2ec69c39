"""Teaching the juicer where products are: pictures whose products are known, and the fit."""
