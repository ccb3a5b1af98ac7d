"""How a mapping's brokers let it in: what its SourceAccessConfigurations say, with the secrets that
they name.
"""

from __future__ import annotations

import json
from typing import Any

from localstack.aws.connect import connect_to
from localstack.utils.aws.arns import extract_account_id_from_arn, extract_region_from_arn

from patient_stack.kafka_event_sources.settings import MappingSettings

# The types of AWS, with their mechanisms. Networks and client certificates mean nothing here.
MECHANISMS = {
    "SASL_SCRAM_512_AUTH": "SCRAM-SHA-512",
    "SASL_SCRAM_256_AUTH": "SCRAM-SHA-256",
    "BASIC_AUTH": "PLAIN",
}
AUTHORITY = "SERVER_ROOT_CA_CERTIFICATE"


class AccessProblem(Exception):
    """A secret that cannot be used; the text is the mapping's processing result."""


def client_settings(settings: MappingSettings) -> dict[str, str]:
    """What a Kafka client has to be told. Without a login and an authority, brokers are taken for
    ones without TLS, as only a developer's own are.

    Raises:
        AccessProblem: a secret is not there, or not in the form that Lambda reads.
    """
    access = dict(settings.access)
    mechanism = next((each for each in MECHANISMS if each in access), None)
    if mechanism is None and AUTHORITY not in access:
        return {}
    told = {"security.protocol": "SASL_SSL" if mechanism else "SSL"}
    if mechanism:
        login = _secret(access[mechanism], settings.function_arn)
        told["sasl.mechanism"] = MECHANISMS[mechanism]
        told["sasl.username"] = _text(login, "username")
        told["sasl.password"] = _text(login, "password")
    if AUTHORITY in access:
        authority = _secret(access[AUTHORITY], settings.function_arn)
        told["ssl.ca.pem"] = _text(authority, "certificate")
    return told


def _secret(arn: str, function_arn: str) -> dict[str, Any]:
    client = connect_to(
        aws_access_key_id=extract_account_id_from_arn(function_arn),
        region_name=extract_region_from_arn(function_arn),
    ).secretsmanager
    try:
        content = json.loads(client.get_secret_value(SecretId=arn)["SecretString"])
    except Exception as reason:
        raise AccessProblem(f"PROBLEM: The secret {arn} cannot be read") from reason
    return content if isinstance(content, dict) else {}


def _text(secret: dict[str, Any], name: str) -> str:
    text = secret.get(name)
    if not isinstance(text, str) or not text:
        raise AccessProblem(f"PROBLEM: A secret has no {name}")
    return text
