"""Which encoders are the user's own word: no code is run because a file names it."""

# The values of --encoder.name on the command lines of this process.
named: set[str] = set()
