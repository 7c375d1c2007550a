"""Where a subscription begins, in releases that cannot be told so."""


def begin_at(_offset, _epoch):
    """There are no options that say where a subscription is to begin."""
    return {}
