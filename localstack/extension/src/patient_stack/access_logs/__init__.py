"""Access logs of REST APIs: a line in CloudWatch Logs for each request, in the stage's format.

LocalStack stores a stage's settings, unless they come from a template, and writes no line. When a
request ends, `handler` is called, `rendering` formats its line, and `writer` writes it to the log
group in the background, after the caller got the response.
"""
