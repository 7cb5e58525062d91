"""What crosses a cut, or leaves a model: one map, or a tuple of several with all that belongs to them in tuples too."""


def each(function, first, *rest):
    """function(first, *rest), or where `first` is a tuple one call for each of its members, as a tuple."""
    if isinstance(first, tuple):
        return tuple(function(*members) for members in zip(first, *rest))
    return function(first, *rest)


def members(value):
    """The one map or the several, always as a tuple."""
    return value if isinstance(value, tuple) else (value,)
