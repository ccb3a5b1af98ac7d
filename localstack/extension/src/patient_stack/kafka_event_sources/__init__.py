"""Kafka event source mappings, self-managed and MSK, which the free LocalStack lacks.

`hooks` connects this to LocalStack. Each mapping has one `worker`, which runs one `poller`: it
reads records through one `reader`, keeps one `lane` per partition, and lets the lanes invoke the
function through `invocation`. What cannot be delivered goes to the `failure_destination`.
"""
