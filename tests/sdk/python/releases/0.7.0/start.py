"""Where a subscription begins, in releases that can be told so."""

from centrifuge import StreamPosition


def begin_at(offset, epoch):
    """Options that say where a subscription is to begin."""

    async def position(_channel):
        return StreamPosition(offset=offset, epoch=epoch)

    return {"get_state": position}
