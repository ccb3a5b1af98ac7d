"""What has to be true of the stacks, whatever is changed in them. cfn-lint knows none of this: it
checks each property by itself. Each of these says what is wrong, in words; test_invariants.py shows
each of them a template in which it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from stacks import APPLICATION, System, as_list, references, statements

Invariant = Callable[[System], Iterator[str]]

INVARIANTS: dict[str, Invariant] = {}


def invariant(function: Invariant) -> Invariant:
    """Register something that has to be true."""
    INVARIANTS[function.__name__] = function
    return function


def actions_of(permissions: list[dict]) -> set[str]:
    """What statements allow, whatever for."""
    return {action for each in permissions for action in as_list(each["Action"])}


# ---------------------------------------------------------------- Kafka


@invariant
def brokers_run_their_version(system: System) -> Iterator[str]:
    """Kafka 4 does not run on t3.small."""
    for name, cluster in system.of_type("AWS::MSK::Cluster"):
        type_, version = cluster["BrokerNodeGroupInfo"]["InstanceType"], cluster["KafkaVersion"]
        if ".t3." in type_ and not version.startswith("3."):
            yield f"{name}: Kafka {version} does not run on {type_}"


@invariant
def brokers_are_evenly_spread(system: System) -> Iterator[str]:
    """MSK demands as many brokers in each subnet as in the others."""
    zones = {"economy": 2, "hospital": 3}[system.size]
    for name, cluster in system.of_type("AWS::MSK::Cluster"):
        subnets = cluster["BrokerNodeGroupInfo"]["ClientSubnets"]
        count = len(subnets) if isinstance(subnets, list) else 3
        if int(cluster["NumberOfBrokerNodes"]) % count or count != zones:
            yield f"{name}: {cluster['NumberOfBrokerNodes']} brokers in {count} subnets"


@invariant
def brokers_know_who_calls(system: System) -> Iterator[str]:
    """Only over TLS, and only with IAM."""
    for name, cluster in system.of_type("AWS::MSK::Cluster"):
        transit = cluster["EncryptionInfo"]["EncryptionInTransit"]
        if transit != {"ClientBroker": "TLS", "InCluster": True}:
            yield f"{name}: connections may be unencrypted"
        clients = cluster["ClientAuthentication"]
        if clients["Unauthenticated"]["Enabled"] or not clients["Sasl"]["Iam"]["Enabled"]:
            yield f"{name}: anybody may connect"
        access = cluster["BrokerNodeGroupInfo"]["ConnectivityInfo"]["PublicAccess"]["Type"]
        if access != "DISABLED":
            yield f"{name}: the brokers are public"
        if "DataVolumeKMSKeyId" not in cluster["EncryptionInfo"]["EncryptionAtRest"]:
            yield f"{name}: encrypted with a key that is not ours"
        if not cluster["LoggingInfo"]["BrokerLogs"]["CloudWatchLogs"]["Enabled"]:
            yield f"{name}: no log"


@invariant
def brokers_confirm_what_they_keep(system: System) -> Iterator[str]:
    """Two have a record before it is confirmed, and nobody makes a topic by accident."""
    wanted = {
        "auto.create.topics.enable": "false",
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
    }
    for name, configuration in system.of_type("AWS::MSK::Configuration"):
        lines = configuration["ServerProperties"].split()
        properties = dict(line.split("=", 1) for line in lines)
        for key, value in wanted.items():
            if properties.get(key) != value:
                yield f"{name}: {key} is {properties.get(key)}, not {value}"
    copies = system.stacks["data"].outputs["KafkaReplicationFactor"]
    for name, cluster in system.of_type("AWS::MSK::Cluster"):
        if not 2 <= int(copies) <= int(cluster["NumberOfBrokerNodes"]):
            yield f"{name}: {copies} copies of each record"


@invariant
def mappings_have_topics_and_permissions(system: System) -> Iterator[str]:
    """AWSLambdaMSKExecutionRole leads to the brokers and to nothing that they keep."""
    needed = {
        "kafka-cluster:Connect",
        "kafka-cluster:DescribeClusterDynamicConfiguration",
        "kafka-cluster:DescribeTopic",
        "kafka-cluster:ReadData",
        "kafka-cluster:DescribeGroup",
        "kafka-cluster:AlterGroup",
    }
    application = system.stacks[APPLICATION]
    groups = set()
    for name, mapping in application.of_type("AWS::Lambda::EventSourceMapping"):
        if "AmazonManagedKafkaEventSourceConfig" not in mapping:
            continue
        topics = mapping.get("Topics", [])
        if len(topics) != 1:
            yield f"{name}: topics {topics}"
            continue
        role = application.role_of(mapping["FunctionName"]["Ref"])
        permissions = system.permissions(mapping["FunctionName"]["Ref"])
        if missing := needed - actions_of(permissions):
            yield f"{name}: its function may not {sorted(missing)}"
        reads = [each for each in permissions if "kafka-cluster:ReadData" in each["Action"]]
        if f"/{topics[0]}" not in json.dumps([each["Resource"] for each in reads]):
            yield f"{name}: its function may not read {topics[0]}"
        if not any("AWSLambdaMSKExecutionRole" in str(each) for each in role["ManagedPolicyArns"]):
            yield f"{name}: its function may not find the brokers"
        groups.add(json.dumps(mapping["ProvisionedPollerConfig"].get("PollerGroupName")))
    if len(groups) != 1 or "null" in groups:
        yield f"the mappings do not share their pollers, and each pays for its own: {groups}"


@invariant
def whoever_uses_kafka_is_allowed_to(system: System) -> Iterator[str]:
    """MSK closes the connection of others, which looks like an outage."""
    application = system.stacks[APPLICATION]
    for name, function in application.of_type("AWS::Lambda::Function"):
        if "KAFKA_BOOTSTRAP_SERVERS" not in function.get("Environment", {}).get("Variables", {}):
            continue
        allowed = actions_of(system.permissions(name))
        if not {"kafka-cluster:Connect", "kafka-cluster:DescribeTopic"} <= allowed:
            yield f"{name}: may not connect to Kafka"


# ---------------------------------------------------------------- PostgreSQL


def databases(system: System) -> Iterator[tuple[str, dict, dict]]:
    """What holds the data: an instance, or a cluster; not the instances of a cluster."""
    for type_ in ("AWS::RDS::DBInstance", "AWS::RDS::DBCluster"):
        for name, properties in system.of_type(type_):
            if "DBClusterIdentifier" not in properties:
                yield name, properties, system.stacks["data"].resources[name]


@invariant
def databases_have_one_password_that_nobody_knows(system: System) -> Iterator[str]:
    """RDS makes and replaces it. With a second one, the deployment fails halfway."""
    for name, database, _ in databases(system):
        if not database.get("ManageMasterUserPassword"):
            yield f"{name}: somebody has to know the password"
        if "MasterUserPassword" in database:
            yield f"{name}: a password of its own besides the managed one"


@invariant
def databases_are_kept(system: System) -> Iterator[str]:
    """Whoever deletes or replaces one finds a snapshot."""
    count = 0
    for name, database, resource in databases(system):
        count += 1
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resource.get(policy) != "Snapshot":
                yield f"{name}: {policy} is {resource.get(policy)}"
        if not database.get("DeletionProtection"):
            yield f"{name}: not protected from deletion"
        if database.get("BackupRetentionPeriod", 0) < 7:
            yield f"{name}: backups for {database.get('BackupRetentionPeriod', 0)} days"
    if count != 1:
        yield f"{count} databases"


@invariant
def databases_are_closed(system: System) -> Iterator[str]:
    """Encrypted with our key, on the wire, too, and not on the internet."""
    for name, database, _ in databases(system):
        if not database.get("StorageEncrypted") or "KmsKeyId" not in database:
            yield f"{name}: not encrypted with a key of ours"
        if not database.get("EnableIAMDatabaseAuthentication"):
            yield f"{name}: no logins with IAM"
        group = database.get("DBParameterGroupName") or database.get("DBClusterParameterGroupName")
        group = system.stacks["data"].resources.get((group or {}).get("Ref"), {})
        parameters = group.get("Properties", {}).get("Parameters", {})
        if parameters.get("rds.force_ssl") != "1":
            yield f"{name}: takes unencrypted connections"
    for name, instance in system.of_type("AWS::RDS::DBInstance"):
        if instance.get("PubliclyAccessible") is not False:
            yield f"{name}: may be public"


@invariant
def the_database_has_to_prove_itself(system: System) -> Iterator[str]:
    """Encryption alone keeps nobody from impersonating it."""
    address = json.dumps(system.stacks["data"].outputs["DatabaseAddress"])
    if "sslrootcert=rds" not in address and "sslmode=verify-full" not in address:
        yield f"nobody verifies the certificate of {address}"


@invariant
def databases_have_a_capacity_that_exists(system: System) -> Iterator[str]:
    """In steps of a half. 0 pauses, which never happens here, and fewer connections remain."""
    for name, database, _ in databases(system):
        capacity = database.get("ServerlessV2ScalingConfiguration")
        if capacity is None:
            continue
        low, high = capacity["MinCapacity"], capacity["MaxCapacity"]
        if low < 0.5 or low * 2 % 1 or high * 2 % 1 or not low < high <= 256:
            yield f"{name}: between {low} and {high} units"


@invariant
def monitored_instances_have_a_role(system: System) -> Iterator[str]:
    """Otherwise they are not created."""
    for name, instance in system.of_type("AWS::RDS::DBInstance"):
        if instance.get("MonitoringInterval") and "MonitoringRoleArn" not in instance:
            yield f"{name}: monitored without a role"


@invariant
def a_hospital_survives_a_zone(system: System) -> Iterator[str]:
    """Two of everything, and no part of the network that is in one zone only."""
    if system.size != "hospital":
        return
    instances = [each for _, each in system.of_type("AWS::RDS::DBInstance")]
    if len(instances) < 2:
        yield f"{len(instances)} instances of the database"
    if {"Ref": "Cluster"} not in [each.get("DBClusterIdentifier") for each in instances]:
        yield "instances of no cluster"
    for name, service in system.of_type("AWS::ECS::Service"):
        if service["DesiredCount"] < 2:
            yield f"{name}: one task"
    if any(system.of_type("AWS::EC2::NatGateway")):
        yield "a NAT gateway is in one zone"
    for name, endpoint in system.of_type("AWS::EC2::VPCEndpoint"):
        if endpoint["VpcEndpointType"] == "Interface" and len(endpoint["SubnetIds"]) != 3:
            yield f"{name}: in {len(endpoint['SubnetIds'])} zones"


# ---------------------------------------------------------------- billing


@invariant
def grpc_is_behind_tls(system: System) -> Iterator[str]:
    """A target group for gRPC at a listener without TLS is not created."""
    billing = system.stacks["billing"]
    groups = {
        name
        for name, group in billing.of_type("AWS::ElasticLoadBalancingV2::TargetGroup")
        if group.get("ProtocolVersion") == "GRPC"
    }
    if not groups:
        yield "no target group speaks gRPC"
    for name, listener in billing.of_type("AWS::ElasticLoadBalancingV2::Listener"):
        leads_to = {each["TargetGroupArn"]["Ref"] for each in listener["DefaultActions"]}
        if leads_to & groups and (
            listener["Protocol"] != "HTTPS" or not listener.get("Certificates")
        ):
            yield f"{name}: gRPC over {listener['Protocol']}"
    for name, balancer in billing.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        if balancer.get("Scheme") != "internal":
            yield f"{name}: on the internet"


@invariant
def grpc_is_checked_as_grpc(system: System) -> Iterator[str]:
    """A code of HTTP would always be 200."""
    for name, group in system.of_type("AWS::ElasticLoadBalancingV2::TargetGroup"):
        if group.get("ProtocolVersion") != "GRPC":
            continue
        if group.get("Matcher") != {"GrpcCode": "0"}:
            yield f"{name}: healthy is {group.get('Matcher')}"
        if group.get("HealthCheckPath") != "/grpc.health.v1.Health/Check":
            yield f"{name}: checked at {group.get('HealthCheckPath')}"


@invariant
def targets_are_what_fargate_has(system: System) -> Iterator[str]:
    """Tasks have addresses, and there are no instances."""
    for name, group in system.of_type("AWS::ElasticLoadBalancingV2::TargetGroup"):
        if group.get("TargetType") != "ip":
            yield f"{name}: targets are of type {group.get('TargetType')}"
    for name, task in system.of_type("AWS::ECS::TaskDefinition"):
        if task.get("NetworkMode") != "awsvpc":
            yield f"{name}: network mode {task.get('NetworkMode')}"
        if task.get("RuntimePlatform", {}).get("CpuArchitecture") != "ARM64":
            yield f"{name}: not for ARM"


@invariant
def the_port_is_one_port(system: System) -> Iterator[str]:
    """What the service listens on, is mapped, is registered, and is let through."""
    billing = system.stacks["billing"]
    for name, service in billing.of_type("AWS::ECS::Service"):
        task = billing.resources[service["TaskDefinition"]["Ref"]]["Properties"]
        containers = {each["Name"]: each for each in task["ContainerDefinitions"]}
        for target in service["LoadBalancers"]:
            container = containers.get(target["ContainerName"], {})
            port = target["ContainerPort"]
            mapped = [each["ContainerPort"] for each in container.get("PortMappings", [])]
            if port not in mapped:
                yield f"{name}: port {port} is not mapped"
            settings = {each["Name"]: each["Value"] for each in container.get("Environment", [])}
            if not settings.get("BILLING_LISTEN", "").endswith(f":{port}"):
                yield f"{name}: the service listens on {settings.get('BILLING_LISTEN')}"
            let_in = {
                rule["FromPort"]
                for rule_name, rule in system.of_type("AWS::EC2::SecurityGroupIngress")
                if rule_name == "BillingFromBalancer"
            }
            if let_in != {port}:
                yield f"{name}: {let_in} is let through"


@invariant
def tasks_wait_for_their_listener(system: System) -> Iterator[str]:
    """A target group without a listener takes no tasks."""
    for name, resource in system.stacks["billing"].resources.items():
        if resource["Type"] == "AWS::ECS::Service" and "Listener" not in as_list(
            resource.get("DependsOn", [])
        ):
            yield f"{name}: may come before the listener"


@invariant
def a_bad_image_is_rolled_back(system: System) -> Iterator[str]:
    """And it is one image, whatever its tag says later."""
    for name, service in system.of_type("AWS::ECS::Service"):
        breaker = service["DeploymentConfiguration"].get("DeploymentCircuitBreaker", {})
        if breaker != {"Enable": True, "Rollback": True}:
            yield f"{name}: {breaker}"
    for name, repository in system.of_type("AWS::ECR::Repository"):
        if repository.get("ImageTagMutability") != "IMMUTABLE":
            yield f"{name}: tags may move"
        if not repository.get("ImageScanningConfiguration", {}).get("ScanOnPush"):
            yield f"{name}: not scanned"
    image = system.stacks["billing"].template["Parameters"]["BillingImage"]["AllowedPattern"]
    if "@sha256:" not in image:
        yield "the image may be named by a tag"


@invariant
def containers_can_do_little(system: System) -> Iterator[str]:
    """No root, nothing to write to, no capabilities, no shell from outside."""
    for name, task in system.of_type("AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            if not container.get("ReadonlyRootFilesystem"):
                yield f"{name}: may write to its image"
            if container.get("User", "0").split(":")[0] in {"", "0", "root"}:
                yield f"{name}: runs as root"
            if container.get("LinuxParameters", {}).get("Capabilities", {}).get("Drop") != ["ALL"]:
                yield f"{name}: keeps capabilities"
    for name, service in system.of_type("AWS::ECS::Service"):
        if service.get("EnableExecuteCommand") is not False:
            yield f"{name}: lets people in"
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        if network.get("AssignPublicIp") != "DISABLED":
            yield f"{name}: has a public address"


@invariant
def tasks_may_read_their_secrets(system: System) -> Iterator[str]:
    """The execution role fetches them, and needs the key as well."""
    billing = system.stacks["billing"]
    for name, task in billing.of_type("AWS::ECS::TaskDefinition"):
        role = billing.resources[task["ExecutionRoleArn"]["Fn::GetAtt"][0]]["Properties"]
        readable = [
            resource
            for each in statements(role["Policies"])
            if "secretsmanager:GetSecretValue" in as_list(each["Action"])
            for resource in as_list(each["Resource"])
        ]
        for container in task["ContainerDefinitions"]:
            for secret in container.get("Secrets", []):
                secret_name, _ = next(references(secret["ValueFrom"]))
                if {"Ref": secret_name} not in readable:
                    yield f"{name}: may not read {secret['Name']}"
        if "kms:Decrypt" not in json.dumps(role["Policies"]):
            yield f"{name}: may not decrypt its secrets"


@invariant
def another_secret_starts_new_tasks(system: System) -> Iterator[str]:
    """Tasks read secrets when they start, and start when their definition has changed. So the
    version of each is named there.
    """
    billing = system.stacks["billing"]
    for name, task in billing.of_type("AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            named = {each for each, _ in references(container)}
            for secret in container.get("Secrets", []):
                made_of = {each for each, _ in references(secret["ValueFrom"])}
                wanted = {
                    each[:-3] + "Version" if each.endswith("SecretArn") else each
                    for each in made_of
                }
                if wanted - named:
                    yield f"{name}: {secret['Name']} may change without {sorted(wanted - named)}"


@invariant
def the_database_is_verified(system: System) -> Iterator[str]:
    """Against the roots of its region, which the service has to know."""
    for name, task in system.of_type("AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            region = {"Name": "AWS_REGION", "Value": {"Ref": "AWS::Region"}}
            if region not in container.get("Environment", []):
                yield f"{name}: does not know its region"


# ---------------------------------------------------------------- all stacks

# What holds data that nothing else has.
DATA = {
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::MSK::Cluster",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
    "AWS::Backup::BackupVault",
    "AWS::Logs::LogGroup",
}

# What may go with its stack, and why.
MAY_GO = {
    "Writer": "the data is the cluster's",
    "Reader": "the data is the cluster's",
    "PublicKeysTable": "provision publishes the keys again",
    "SessionsTable": "everybody logs in again",
    "LoginAttemptsTable": "counts of the last minutes",
    "RelayOutboxQueue": "a message says nothing that the schedule does not",
    "RunImportsQueue": "a message says nothing that the schedule does not",
    "RunExportsQueue": "a message says nothing that the schedule does not",
    "RelayAppointmentEventsQueue": "a message says nothing that the schedule does not",
    "RelayBillingEventsQueue": "a message says nothing that the schedule does not",
    "SendDueMessagesQueue": "a message says nothing that the schedule does not",
    "SendAccountMessagesQueue": "a message says nothing that the schedule does not",
    "VerifyAuditTrailQueue": "the next verification starts again",
    "DeliveriesQueue": "whether a message arrived is not needed without the system",
    "AccessLog": "kept for a time anyway; refusals are in the audit trail",
    "FunctionLog": "kept for a time anyway",
    "FlowLogGroup": "kept for a time anyway",
    "KafkaLog": "kept for a time anyway",
    "Log": "kept for a time anyway",
}

KEEP = {"Retain", "RetainExceptOnCreate", "Snapshot"}


@invariant
def data_outlives_its_stack(system: System) -> Iterator[str]:
    """Both when the stack is deleted and when a change replaces the resource."""
    for stack, name, resource in system.resources():
        if resource["Type"] not in DATA or name in MAY_GO:
            continue
        policies = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
        if not set(policies) <= KEEP:
            yield f"{stack}: {name} has the policies {policies}"


# How long the name of each type may be. The name of a deployment has up to 32 characters.
LONGEST_NAMES = {
    "AWS::Backup::BackupVault": ("BackupVaultName", 50),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::ECS::Cluster": ("ClusterName", 255),
    "AWS::ECS::TaskDefinition": ("Family", 255),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("Name", 32),
    "AWS::ElasticLoadBalancingV2::TargetGroup": ("Name", 32),
    "AWS::Events::Rule": ("Name", 64),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::MSK::Cluster": ("ClusterName", 64),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::SQS::Queue": ("QueueName", 80),
}


@invariant
def names_are_short_enough(system: System) -> Iterator[str]:
    """For every name of a deployment; the name and the stage have a limit together."""
    for stack, name, resource in system.resources():
        key, longest = LONGEST_NAMES.get(resource["Type"], ("", 0))
        its = resource.get("Properties", {}).get(key)
        text = as_list(its.get("Fn::Sub", "${Name}"))[0] if isinstance(its, dict) else its or ""
        # What is not a name is the beginning of an id.
        text = re.sub(r"\$\{(?:Name|AWS::StackName)\}", "n" * 32, text)
        length = len(re.sub(r"\$\{\w+\}", "i" * 8, text))
        if length > longest and key:
            yield f"{stack}: {name} has a name of up to {length} characters, not {longest}"


# What outlives its stack under a name that a deployment has no use for.
NAMED_FOR_NOBODY = {
    "AWS::Backup::BackupVault": "BackupVaultName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SecretsManager::Secret": "Name",
}

# Whose name is needed all the same, and why.
NEEDS_ITS_NAME = {
    "SigningKeySecret": "`make deploy-aws --destroy --delete-data` deletes it",
    "PatientFiles": "a policy names it before it is there; `--delete-data` deletes it, too",
}


@invariant
def what_stays_blocks_nobody(system: System) -> Iterator[str]:
    """A stack of the same name can be created again, with names that no other stack has had."""
    for stack, name, resource in system.resources():
        its = resource.get("Properties", {}).get(NAMED_FOR_NOBODY.get(resource["Type"], ""))
        if its is None or name in NEEDS_ITS_NAME or resource.get("DeletionPolicy") not in KEEP:
            continue
        if ("AWS::StackId", None) not in references(its):
            yield f"{stack}: {name} is called {its} in every stack of this name"


# How each type says that it is encrypted.
ENCRYPTED: dict[str, Callable[[dict], bool]] = {
    "AWS::DynamoDB::Table": lambda it: it.get("SSESpecification") == {"SSEEnabled": True},
    "AWS::ECR::Repository": lambda it: "KmsKey" in it.get("EncryptionConfiguration", {}),
    "AWS::S3::Bucket": lambda it: "aws:kms" in json.dumps(it.get("BucketEncryption")),
    "AWS::SecretsManager::Secret": lambda it: "KmsKeyId" in it,
    "AWS::SNS::Topic": lambda it: "KmsMasterKeyId" in it,
    "AWS::SQS::Queue": lambda it: it.get("SqsManagedSseEnabled") is True,
    "AWS::Backup::BackupVault": lambda it: "EncryptionKeyArn" in it,
    "AWS::KMS::Key": lambda it: it.get("EnableKeyRotation") is True,
}

# What is encrypted with a key of AWS, or not at all, and why.
NOT_WITH_OUR_KEY = {
    "PatientFiles": "with the key of S3: it holds files for days",
    "SigningKeySecret": "with the key that Secrets Manager has for the account",
    "DeliveriesTopic": "SES cannot publish to a topic under a key of AWS; it holds nothing, and "
    "passes everything on to an encrypted queue at once",
}


@invariant
def data_is_encrypted(system: System) -> Iterator[str]:
    """At rest, everywhere."""
    for stack, name, resource in system.resources():
        encrypted = ENCRYPTED.get(resource["Type"])
        if encrypted and name not in NOT_WITH_OUR_KEY and not encrypted(resource["Properties"]):
            yield f"{stack}: {name} is not encrypted"


@invariant
def buckets_are_closed(system: System) -> Iterator[str]:
    """To the public, and to unencrypted connections."""
    for name, bucket in system.of_type("AWS::S3::Bucket"):
        block = bucket.get("PublicAccessBlockConfiguration", {})
        if len(block) != 4 or not all(block.values()):
            yield f"{name}: may be public"
        denies = [
            each
            for _, policy in system.of_type("AWS::S3::BucketPolicy")
            if policy["Bucket"] == {"Ref": name}
            for each in statements(policy)
        ]
        if "aws:SecureTransport" not in json.dumps(denies):
            yield f"{name}: takes unencrypted connections"


# What has no narrower resource, by action, and why.
NO_RESOURCE = {
    "kms:*": "in the policy of a key, * is the key",
    "kms:Encrypt": "in the policy of a key, * is the key",
    "kms:Decrypt": "in the policy of a key, * is the key",
    "kms:ReEncrypt*": "in the policy of a key, * is the key",
    "kms:GenerateDataKey*": "in the policy of a key, * is the key",
    "kms:Describe*": "in the policy of a key, * is the key",
    "ecr:GetAuthorizationToken": "has no resource",
    "ses:GetIdentityVerificationAttributes": "has no resource",
    "ses:VerifyEmailIdentity": "has no resource before the identity is verified",
    "sns:Publish": "a telephone number is no resource",
    "ec2:DescribeSecurityGroups": "has no resource",
    "ec2:DescribeVpcs": "has no resource",
}


@invariant
def permissions_name_what_they_are_for(system: System) -> Iterator[str]:
    """No * where a resource can be named; no * for actions at all."""
    for stack, name, resource in system.resources():
        for statement in statements(resource):
            if statement["Effect"] == "Deny":
                continue
            actions = as_list(statement["Action"])
            is_key = resource["Type"] == "AWS::KMS::Key"
            for action in actions:
                if "*" in action and not is_key:
                    yield f"{stack}: {name} allows {action}"
                if statement.get("Resource") == "*" and (
                    action not in NO_RESOURCE or (action.startswith("kms:") and not is_key)
                ):
                    yield f"{stack}: {name} allows {action} on everything"


@invariant
def strangers_assume_no_role(system: System) -> Iterator[str]:
    """A service acts for this account only, where it says for whom. Lambda and API Gateway are
    SAM's and the template's, and their roles name no account.
    """
    for stack, name, resource in system.resources():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        for statement in statements(resource["Properties"]["AssumeRolePolicyDocument"]):
            if set(statement["Principal"]) != {"Service"}:
                yield f"{stack}: {name} may be assumed by {statement['Principal']}"
            elif stack != APPLICATION and "aws:SourceAccount" not in json.dumps(statement):
                yield f"{stack}: {name} may be assumed for other accounts"


# Settings of functions that hold a secret. Each is a value of a parameter with NoEcho, so that it
# is neither in the template nor shown by CloudFormation. No function has a password of the
# database.
SECRET_SETTINGS = re.compile(r"^BILLING_TOKEN$")
SECRET_PARAMETERS = re.compile(r"^[A-Z][a-z]+DatabasePassword$|^DatabaseOwnerUrl$|^BillingToken$")
SOUNDS_SECRET = re.compile(r"password|token|secret|private|credential|api_?key", re.IGNORECASE)
# They sound like it, and are names.
ONLY_NAMES = {"SIGNING_KEY_SECRET", "KAFKA_SECRET", "DATABASE_OWNER_SECRET"}


@invariant
def passwords_are_where_they_have_to_be(system: System) -> Iterator[str]:
    """Nowhere but where SECRET_SETTINGS says."""
    for stack in system.stacks.values():
        for name, parameter in stack.template.get("Parameters", {}).items():
            if name.endswith(("Arn", "SecretVersion")):
                continue
            if SECRET_PARAMETERS.match(name) and stack.name == APPLICATION:
                # They are empty where services log in with their roles.
                if parameter.get("NoEcho") is not True or parameter.get("Default"):
                    yield f"{stack.name}: {name} is shown"
            elif SOUNDS_SECRET.search(name):
                yield f"{stack.name}: {name} is a secret in a parameter"
        for name, output in stack.outputs.items():
            if not name.endswith(("SecretArn", "SecretKeyArn")) and (
                SOUNDS_SECRET.search(name)
                or any(SECRET_PARAMETERS.match(each) for each, _ in references(output))
            ):
                yield f"{stack.name}: {name} is a secret in an output"
    for name, function in system.of_type("AWS::Lambda::Function"):
        for setting, value in function.get("Environment", {}).get("Variables", {}).items():
            secret = any(SECRET_PARAMETERS.match(each) for each, _ in references(value))
            sounds = SOUNDS_SECRET.search(setting) and setting not in ONLY_NAMES
            if (secret or sounds) and not SECRET_SETTINGS.match(setting):
                yield f"{name}: {setting} holds a secret"
    for name, task in system.of_type("AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            for setting in container.get("Environment", []):
                if SOUNDS_SECRET.search(setting["Name"]) or SECRET_SETTINGS.match(setting["Name"]):
                    yield f"{name}: {setting['Name']} is not a secret of ECS"


# How services log in to the database, and what permits that.
LOGIN = re.compile(r"postgres://(\$\{DatabaseRolePrefix\}_[a-z_]+)@\$\{DatabaseAddress\}")
ROLE = "arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:${DatabaseResourceId}/"


def roles_of_the_database(permissions: list[dict]) -> list[str]:
    """Those that statements permit to log in as."""
    resources = [
        resource
        for statement in permissions
        if "rds-db:connect" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    return [
        resource["Fn::Sub"].removeprefix(ROLE) if isinstance(resource, dict) else str(resource)
        for resource in resources
    ]


@invariant
def everybody_logs_in_to_the_database_as_themselves(system: System) -> Iterator[str]:
    """With the role in their URL, which has no password, and no other. `provision` looks whether
    all can, and nobody else reads the owner's secret.
    """
    for name, function in system.of_type("AWS::Lambda::Function"):
        settings = function.get("Environment", {}).get("Variables", {})
        permissions = system.permissions(name)
        roles = []
        for setting, value in settings.items():
            if not setting.endswith("DATABASE_URL"):
                continue
            found = LOGIN.fullmatch(value["Fn::Sub"]) if isinstance(value, dict) else None
            if found:
                roles.append(found.group(1))
            else:
                yield f"{name}: {setting} is more than a role and an address"
        if roles and settings.get("DATABASE_AUTHENTICATION") != "IAM":
            yield f"{name}: has neither a password nor tokens"
        if sorted(roles) != sorted(roles_of_the_database(permissions)):
            yield f"{name}: logs in as {roles}, and may as {roles_of_the_database(permissions)}"
        if len(roles) > 1 and name != "ProvisionFunction":
            yield f"{name}: is several services"
        reads_owner = "DatabaseOwnerSecretArn" in json.dumps([permissions, settings])
        if reads_owner != (name == "ProvisionFunction"):
            yield f"{name}: the owner's secret is for provision alone"
    billing = system.stacks["billing"]
    for name, task in billing.of_type("AWS::ECS::TaskDefinition"):
        role = billing.resources[task["TaskRoleArn"]["Fn::GetAtt"][0]]["Properties"]
        for container in task["ContainerDefinitions"]:
            url = {each["Name"]: each["Value"] for each in container["Environment"]}
            found = LOGIN.fullmatch(url.get("DATABASE_URL", {}).get("Fn::Sub", ""))
            roles = [found.group(1)] if found else []
            if not roles or url.get("DATABASE_AUTHENTICATION") != "IAM":
                yield f"{name}: no token for the database"
            if roles != roles_of_the_database(statements(role["Policies"])):
                yield f"{name}: may log in as somebody else than {roles}"


@invariant
def alarms_tell_somebody(system: System) -> Iterator[str]:
    """When they begin and when they end."""
    for name, alarm in system.of_type("AWS::CloudWatch::Alarm"):
        if not alarm.get("AlarmActions") or not alarm.get("OKActions"):
            yield f"{name} tells nobody"
        if "TreatMissingData" not in alarm:
            yield f"{name} does not say what no data means"
