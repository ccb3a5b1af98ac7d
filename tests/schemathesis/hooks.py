"""Who calls the API, and what a generator cannot make up."""

import os
import uuid

import requests
import schemathesis
from schemathesis import GenerationMode

API = os.environ["API_URL"]

# The local stack's users. Who tries out passwords or logs out is nobody whom the others need.
ADMINISTRATOR = ("testuser@test.com", "password123")
USERS = {
    "/api/patients/{id}/emergency-access": ("clinician@clinic.example", "clinician-demo-password"),
    "/auth/change-password": ("receptionist@clinic.example", "receptionist-demo-password"),
    "/auth/logout": ("auditor@clinic.example", "auditor-demo-password"),
    "/auth/logout-all": ("auditor@clinic.example", "auditor-demo-password"),
}
ENDS_SESSIONS = ["/auth/logout", "/auth/logout-all"]


def user_of(_case, context):
    """Whom a route is called as."""
    return USERS.get(context.operation.path, ADMINISTRATOR)


class User:
    """Logs in once, or anew for what ends the session."""

    def get(self, case, context):
        """Logs in."""
        email, password = user_of(case, context)
        credentials = {"email": email, "password": password}
        answer = requests.post(f"{API}/auth/login", json=credentials, timeout=30)
        answer.raise_for_status()
        return answer.json()["token"]

    def set(self, case, token, _context):
        """Says who calls."""
        case.headers["Authorization"] = f"Bearer {token}"


schemathesis.auth(refresh_interval=600, cache_by_key=user_of).skip_for(path=ENDS_SESSIONS)(User)
schemathesis.auth(refresh_interval=None).apply_to(path=ENDS_SESSIONS)(User)


@schemathesis.hook
def filter_query(_context, query):
    """Empty parameters are taken for absent ones, which a schema does not say."""
    return not query or "" not in query.values()


@schemathesis.hook
def map_query(_context, query):
    """A cursor is what the API has answered, or refused: nobody makes one up."""
    if query:
        query.pop("cursor", None)
    return query


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Has a last look at a request."""
    keep_accounts(case)
    keep_to_what_is_tested(case)


def keep_accounts(case):
    """The accounts that are there stay as they are: they are those of this run."""
    if case.method == "PUT" and case.path == "/api/accounts/{id}":
        try:
            nobody = uuid.uuid5(uuid.UUID(case.path_parameters["id"]), "nobody")
        except (AttributeError, KeyError, TypeError, ValueError):
            return  # No id at all.
        case.path_parameters["id"] = str(nobody)


def keep_to_what_is_tested(case):
    """Leaves out what says nothing about the API."""
    # Schemathesis 4.32.5 sends a number as If-Match where it is about something else.
    valid = case.meta.generation.mode is GenerationMode.POSITIVE
    if valid and case.headers.get("If-Match") == "0":
        del case.headers["If-Match"]
    # LocalStack answers this by itself: 500, whatever the route.
    if case.headers.get("Content-Type") == "multipart/form-data":
        case.headers["Content-Type"] = "text/plain"
