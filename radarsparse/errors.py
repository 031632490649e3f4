"""The one error type for what a user can mend: every tool turns it into exit status 2."""


class InputError(ValueError):
    """Input that can't be used; the message names the thing, the value and the bound."""


EXIT_INPUT_ERROR = 2
"""Status of a process that ends by it."""
