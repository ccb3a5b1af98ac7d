"""Lambda authorizers on REST APIs, which the free LocalStack stores but never runs.

A request goes through `handler`: `identity` finds who calls, `authorization` asks the function
and reads its answer, `cache` remembers it, and `policy` decides about the one route called.
"""
