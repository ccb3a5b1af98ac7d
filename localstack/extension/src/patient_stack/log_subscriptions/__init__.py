"""Subscriptions of functions to log groups: what matches a filter's pattern reaches its function.

LocalStack hands every line to the function, waits for it while the line is being written, and does
not mind its errors; and a group with a subscription takes no new streams.
"""
