"""Access logs of REST APIs: a line in CloudWatch Logs for each request, in the stage's format.

LocalStack stores the settings of a stage, unless they come from a template, and writes no line.
A request ends in `handler`, `rendering` makes its line, and `writer` brings it into the log group
while the caller has their answer already.
"""
