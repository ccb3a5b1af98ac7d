"""The gateway's own responses (401, 403, 404, 5xx …), as the template defines them.

LocalStack stores gateway responses but responds with its default body and headers, and does not
read them from an API's OpenAPI document, which is where SAM writes them.
"""
