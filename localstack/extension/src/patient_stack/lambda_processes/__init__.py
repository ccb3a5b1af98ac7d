"""Lambda functions as processes: runs a function's `bootstrap` without Docker.

From the outside in: `plugin` is what LocalStack loads, `executor` the class that it calls from its
threads, `environment` an execution environment with its rules (timeout, crash, replacement),
`process` one process of a function, `extensions` what else runs in it, `http_listener` the server
that it polls, with the requests of `runtime_api` and `extensions_api`, `log` its output, `report`
how that ends, `guard` the process that cleans up if LocalStack dies. `after_response`, `clean_end`
and `metrics` replace parts of LocalStack that work badly with this.
"""
