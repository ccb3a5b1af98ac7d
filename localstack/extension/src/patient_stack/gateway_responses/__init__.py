"""The gateway's own answers (401, 403, 404, 5xx …) as the template wants them.

LocalStack stores gateway responses but answers with its default body and headers, and does not
read them from an API's OpenAPI document at all, which is where SAM writes them.
"""
