"""What tests of exceptions share."""


def chain(error):
    """The error and all that it is chained to."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
