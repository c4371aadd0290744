"""Setting up a checkout. Only the standard library is used: nothing else is there yet when these run."""
