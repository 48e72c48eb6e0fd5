"""The command line: options, dispatch, and what is done with finished runs."""
