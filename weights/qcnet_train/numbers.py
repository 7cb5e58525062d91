"""Types of options: what is no such number, argparse says."""

import argparse
import math


def number(kind, says, fits):
    """An argparse type."""
    def parsed(text):
        try:
            if fits(value := kind(text)):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"'{text}' is not {says}")
    return parsed


count = number(int, "a whole number from 1 on", lambda value: value >= 1)
whole = number(int, "a whole number from 0 on", lambda value: value >= 0)
seed = number(int, "a whole number from 0 to 2^32 - 1", lambda value: 0 <= value < 2 ** 32)  # what numpy takes
positive = number(float, "a number above 0", lambda value: 0 < value < math.inf)
not_negative = number(float, "a number from 0 on", lambda value: 0 <= value < math.inf)
share = number(float, "a number from 0 to 1", lambda value: 0 <= value <= 1)
