"""Images that are made when they are first needed: what a stage computes of them may be kept already."""

import functools


class Deferred:
    """Calls `make` at most once."""

    def __init__(self, make):
        self.get = functools.cache(make)

    def then(self, function):
        return Deferred(lambda: function(self.get()))


def made(images):
    return images.get() if isinstance(images, Deferred) else images
