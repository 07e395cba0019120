"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake in params, data or environment, told in one line: where, what was expected, what to do."""
