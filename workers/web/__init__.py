"""HTTP: a client of the topics. Nothing is searched here, so any number of web workers run."""
