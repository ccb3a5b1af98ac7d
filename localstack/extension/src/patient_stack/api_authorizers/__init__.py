"""Lambda authorizers of REST APIs, which the free LocalStack stores but never runs.

A request goes through `handler`: `identity` extracts the caller's identity, `authorization` invokes
the function and parses its response, `cache` stores it, and `policy` evaluates it for the called
route.
"""
