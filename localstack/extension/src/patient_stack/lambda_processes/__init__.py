"""Lambda functions as processes: runs a function's `bootstrap` without Docker.

From the outside in: `plugin` is what LocalStack loads, `executor` the class that it calls from its
threads, `environment` an execution environment with its rules (timeout, crash, replacement),
`process` one process of a function, `runtime_api` the HTTP API that this process polls, `log` its
output, `guard` the process that cleans up if LocalStack dies. `clean_end` and `metrics` replace
parts of LocalStack that work badly with this.
"""
