"""`make test-long`: what Hypothesis does in `make test`, ten times as often.

Loaded by ``-p tests.long``, for a profile has to be known before its name is read.
"""

from hypothesis import settings

EXAMPLES = 10 * settings.get_profile("default").max_examples
settings.register_profile("long", max_examples=EXAMPLES, deadline=None)
