"""The callers of the API, and what a generator cannot invent."""

import os
import uuid

import requests
import schemathesis
from schemathesis import GenerationMode

API = os.environ["API_URL"]

# The local stack's users. Routes that try out passwords or log out use users whom no other route
# needs.
ADMINISTRATOR = ("testuser@test.com", "password123")
USERS = {
    "/api/patients/{id}/emergency-access": ("clinician@clinic.example", "clinician-demo-password"),
    "/auth/change-password": ("receptionist@clinic.example", "receptionist-demo-password"),
    "/auth/logout": ("auditor@clinic.example", "auditor-demo-password"),
    "/auth/logout-all": ("auditor@clinic.example", "auditor-demo-password"),
}
ENDS_SESSIONS = ["/auth/logout", "/auth/logout-all"]


def user_of(_case, context):
    """The user that a route is called as."""
    return USERS.get(context.operation.path, ADMINISTRATOR)


class User:
    """Logs in once, or each time for routes that end the session."""

    def get(self, case, context):
        """Logs in."""
        email, password = user_of(case, context)
        credentials = {"email": email, "password": password}
        answer = requests.post(f"{API}/auth/login", json=credentials, timeout=30)
        answer.raise_for_status()
        return answer.json()["token"]

    def set(self, case, token, _context):
        """Adds the token to the request."""
        case.headers["Authorization"] = f"Bearer {token}"


schemathesis.auth(refresh_interval=600, cache_by_key=user_of).skip_for(path=ENDS_SESSIONS)(User)
schemathesis.auth(refresh_interval=None).apply_to(path=ENDS_SESSIONS)(User)


@schemathesis.hook
def filter_query(_context, query):
    """Empty parameters count as absent, which a schema cannot express."""
    return not query or "" not in query.values()


@schemathesis.hook
def map_query(_context, query):
    """Cursors come from the API, so a generated one cannot be valid."""
    if query:
        query.pop("cursor", None)
    return query


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Adjusts a request before it is sent."""
    keep_accounts(case)
    keep_to_what_is_tested(case)


def keep_accounts(case):
    """Existing accounts must not change: this run uses them."""
    if case.method == "PUT" and case.path == "/api/accounts/{id}":
        try:
            nobody = uuid.uuid5(uuid.UUID(case.path_parameters["id"]), "nobody")
        except (AttributeError, KeyError, TypeError, ValueError):
            return  # Not an id.
        case.path_parameters["id"] = str(nobody)


def keep_to_what_is_tested(case):
    """Removes what does not test the API."""
    # Schemathesis 4.32.5 sends a number as If-Match in cases about something else.
    valid = case.meta.generation.mode is GenerationMode.POSITIVE
    if valid and case.headers.get("If-Match") == "0":
        del case.headers["If-Match"]
    # LocalStack itself responds to this with a 500, whatever the route.
    if case.headers.get("Content-Type") == "multipart/form-data":
        case.headers["Content-Type"] = "text/plain"
