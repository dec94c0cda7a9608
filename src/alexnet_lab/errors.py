"""The one kind of error that a person can cause and mend."""


class UserError(Exception):
    """Something to be put right by whoever started the program: one line, saying what is wrong and what to do."""
