"""Subscriptions of functions to log groups: matching lines are delivered to the function.

LocalStack delivers every line, waits for the function while the line is being written, and ignores
its errors; and a group with a subscription accepts no new streams.
"""
