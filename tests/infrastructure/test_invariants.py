"""Every invariant holds in both sizes, and each would notice what it is for.

Each change is made to a copy of the templates.
"""

# The changes are a table: one line each.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable

import pytest
import reachability  # noqa: F401 - it registers its invariants
from invariants import INVARIANTS
from stacks import SIZES, System, Templates

REMOVED = object()

Change = Callable[[Templates], None]


def put(path: str, value: object) -> Change:
    """Put something at a place: `data Kafka ClientAuthentication Sasl` is within the properties of
    a resource, and a place that begins with `/` is beside them.
    """

    def change(templates: Templates) -> None:
        stack, resource, *keys = path.split()
        place = templates[stack]["Resources"][resource]
        if keys[0].startswith("/"):
            keys[0] = keys[0][1:]
        else:
            place = place["Properties"]
        for key in keys[:-1]:
            place = place[int(key) if isinstance(place, list) else key]
        last = int(keys[-1]) if isinstance(place, list) else keys[-1]
        if value is REMOVED:
            del place[last]
        else:
            assert not (isinstance(place, dict) and place.get(last) == value), "changes nothing"
            place[last] = value

    return change


def remove(path: str) -> Change:
    """Remove what is at a place."""
    return put(path, REMOVED)


def without(stack: str, resource: str) -> Change:
    """Remove a resource."""

    def change(templates: Templates) -> None:
        del templates[stack]["Resources"][resource]

    return change


def with_(stack: str, resource: str, type_: str, **properties: object) -> Change:
    """Add a resource."""

    def change(templates: Templates) -> None:
        templates[stack]["Resources"][resource] = {"Type": type_, "Properties": properties}

    return change


def size(key: str, of_size: str, value: object) -> Change:
    """Another value in the table of sizes of the data."""

    def change(templates: Templates) -> None:
        templates["data"]["Mappings"]["Sizes"][of_size][key] = value

    return change


def replaced(path: str, old: str, new: str) -> Change:
    """Replace words in a text."""

    def change(templates: Templates) -> None:
        stack, resource, key = path.split()
        properties = templates[stack]["Resources"][resource]["Properties"]
        assert old in properties[key]
        properties[key] = properties[key].replace(old, new)

    return change


def replaced_in(path: str, old: str, new: str) -> Change:
    """Replace words in a text with references."""

    def change(templates: Templates) -> None:
        stack, resource, key = path.split()
        text = templates[stack]["Resources"][resource]["Properties"][key]
        assert old in text["Fn::Sub"]
        text["Fn::Sub"] = text["Fn::Sub"].replace(old, new)

    return change


def function_setting(name: str, value: object) -> Change:
    """Another setting of a function."""

    def change(templates: Templates) -> None:
        function = templates["application"]["Resources"]["GetPatientFunction"]["Properties"]
        function["Environment"]["Variables"][name] = value

    return change


def section(stack: str, name: str, entry: str, value: object) -> Change:
    """Another entry in a section such as Parameters."""

    def change(templates: Templates) -> None:
        templates[stack][name][entry] = value

    return change


def first_statement(stack: str, resource: str, key: str, value: object) -> Change:
    """Change the first statement of the first policy of a role."""

    def change(templates: Templates) -> None:
        policies = templates[stack]["Resources"][resource]["Properties"]["Policies"]
        policies[0]["PolicyDocument"]["Statement"][0][key] = value

    return change


CONTAINER = "billing Task ContainerDefinitions 0"
KAFKA = "data Kafka"

MUTATIONS: list[tuple[str, str, Change]] = [
    # Kafka
    ("brokers_run_their_version", "Kafka 4 on t3.small", size("KafkaVersion", "economy", "4.0.x")),
    ("brokers_are_evenly_spread", "three brokers in two zones", size("Brokers", "economy", 3)),
    ("brokers_are_evenly_spread", "two zones for a hospital", put(f"{KAFKA} BrokerNodeGroupInfo ClientSubnets", ["one", "two"])),
    ("brokers_know_who_calls", "TLS is optional", put(f"{KAFKA} EncryptionInfo EncryptionInTransit ClientBroker", "TLS_PLAINTEXT")),
    ("brokers_know_who_calls", "plain text among brokers", put(f"{KAFKA} EncryptionInfo EncryptionInTransit InCluster", False)),
    ("brokers_know_who_calls", "no IAM", put(f"{KAFKA} ClientAuthentication Sasl Iam Enabled", False)),
    ("brokers_know_who_calls", "unauthenticated access", put(f"{KAFKA} ClientAuthentication Unauthenticated Enabled", True)),
    ("brokers_know_who_calls", "public brokers", put(f"{KAFKA} BrokerNodeGroupInfo ConnectivityInfo PublicAccess Type", "SERVICE_PROVIDED_EIPS")),
    ("brokers_know_who_calls", "a key of AWS", put(f"{KAFKA} EncryptionInfo EncryptionAtRest", {})),
    ("brokers_know_who_calls", "no log", put(f"{KAFKA} LoggingInfo BrokerLogs CloudWatchLogs Enabled", False)),
    ("brokers_confirm_what_they_keep", "topics by accident", replaced("data KafkaConfiguration ServerProperties", "enable=false\nmin", "enable=true\nmin")),
    ("brokers_confirm_what_they_keep", "one copy is enough", replaced("data KafkaConfiguration ServerProperties", "min.insync.replicas=2", "min.insync.replicas=1")),
    ("brokers_confirm_what_they_keep", "a late broker leads", replaced("data KafkaConfiguration ServerProperties", "unclean.leader.election.enable=false", "")),
    ("brokers_confirm_what_they_keep", "more copies than brokers", section("data", "Outputs", "KafkaReplicationFactor", {"Value": 4})),
    ("mappings_have_topics_and_permissions", "no topics", remove("application NotifyPatientsFromMsk Topics")),
    ("mappings_have_topics_and_permissions", "another topic", put("application NotifyPatientsFromMsk Topics", ["patient.events.v2"])),
    ("mappings_have_topics_and_permissions", "no permissions", put("application KafkaConsumerPolicy PolicyDocument Statement", [])),
    ("mappings_have_topics_and_permissions", "no way to the brokers", put("application NotifyPatientsFunctionRole ManagedPolicyArns", [])),
    ("mappings_have_topics_and_permissions", "pollers of its own", put("application NotifyPatientsFromMsk ProvisionedPollerConfig", {"MinimumPollers": 1, "MaximumPollers": 2})),
    ("whoever_uses_kafka_is_allowed_to", "no permission", put("application BookAppointmentFunctionRole ManagedPolicyArns", [])),
    # PostgreSQL
    ("databases_have_one_password_that_nobody_knows", "both passwords", put("data Database MasterUserPassword", "{{resolve:ssm:x}}")),
    ("databases_have_one_password_that_nobody_knows", "both passwords of a cluster", put("data Cluster MasterUserPassword", "{{resolve:ssm:x}}")),
    ("databases_have_one_password_that_nobody_knows", "none that is managed", put("data Cluster ManageMasterUserPassword", False)),
    ("databases_are_kept", "deleted with the stack", put("data Database /DeletionPolicy", "Delete")),
    ("databases_are_kept", "deleted when replaced", put("data Cluster /UpdateReplacePolicy", "Delete")),
    ("databases_are_kept", "no policy", remove("data Cluster /UpdateReplacePolicy")),
    ("databases_are_kept", "not protected", put("data Cluster DeletionProtection", False)),
    ("databases_are_kept", "backups of a day", size("BackupDays", "economy", 1)),
    ("databases_are_kept", "no database", without("data", "Database")),
    ("databases_are_closed", "unencrypted", put("data Database StorageEncrypted", False)),
    ("databases_are_closed", "a key of AWS", remove("data Cluster KmsKeyId")),
    ("databases_are_closed", "no IAM", put("data Cluster EnableIAMDatabaseAuthentication", False)),
    ("databases_are_closed", "plain text", put("data DatabaseParameters Parameters rds.force_ssl", "0")),
    ("databases_are_closed", "the parameters of AWS", remove("data Cluster DBClusterParameterGroupName")),
    ("databases_are_closed", "public", put("data Database PubliclyAccessible", True)),
    ("databases_are_closed", "public where nothing is said", remove("data Reader PubliclyAccessible")),
    ("the_database_has_to_prove_itself", "encrypted only", section("data", "Outputs", "DatabaseAddress", {"Value": "host:5432/db?sslmode=require"})),
    ("databases_have_a_capacity_that_exists", "0.3 units", put("data Cluster ServerlessV2ScalingConfiguration MinCapacity", 0.3)),
    ("databases_have_a_capacity_that_exists", "0.75 units", put("data Cluster ServerlessV2ScalingConfiguration MinCapacity", 0.75)),
    ("databases_have_a_capacity_that_exists", "a pause", put("data Cluster ServerlessV2ScalingConfiguration MinCapacity", 0)),
    ("monitored_instances_have_a_role", "no role", remove("data Reader MonitoringRoleArn")),
    ("monitored_instances_have_a_role", "monitored in the small size, too", put("data Database MonitoringInterval", 60)),
    ("a_hospital_survives_a_zone", "no reader", without("data", "Reader")),
    ("a_hospital_survives_a_zone", "endpoints in one zone", put("network SqsEndpoint SubnetIds", [{"Ref": "PrivateSubnetA"}])),
    ("a_hospital_survives_a_zone", "one task", put("billing Service DesiredCount", 1)),
    ("a_hospital_survives_a_zone", "NAT", remove("network Nat /Condition")),
    # billing
    ("grpc_is_behind_tls", "a listener without TLS", put("billing Listener Protocol", "HTTP")),
    ("grpc_is_behind_tls", "no certificate", remove("billing Listener Certificates")),
    ("grpc_is_behind_tls", "HTTP/1", put("billing Targets ProtocolVersion", "HTTP1")),
    ("grpc_is_behind_tls", "on the internet", put("billing Balancer Scheme", "internet-facing")),
    ("grpc_is_checked_as_grpc", "a code of HTTP", put("billing Targets Matcher", {"HttpCode": "200"})),
    ("grpc_is_checked_as_grpc", "any code", put("billing Targets Matcher", {"GrpcCode": "0-99"})),
    ("grpc_is_checked_as_grpc", "another path", remove("billing Targets HealthCheckPath")),
    ("targets_are_what_fargate_has", "instances", put("billing Targets TargetType", "instance")),
    ("targets_are_what_fargate_has", "bridge", put("billing Task NetworkMode", "bridge")),
    ("targets_are_what_fargate_has", "x86", put("billing Task RuntimePlatform CpuArchitecture", "X86_64")),
    ("the_port_is_one_port", "a port that is not mapped", put(f"{CONTAINER} PortMappings 0 ContainerPort", 9002)),
    ("the_port_is_one_port", "a port that nothing listens on", put(f"{CONTAINER} Environment 0 Value", "0.0.0.0:9002")),
    ("the_port_is_one_port", "a port that is not let through", put("network BillingFromBalancer FromPort", 9000)),
    ("the_port_is_one_port", "another container", put("billing Service LoadBalancers 0 ContainerName", "other")),
    ("tasks_wait_for_their_listener", "before the listener", remove("billing Service /DependsOn")),
    ("a_bad_image_is_rolled_back", "no circuit breaker", remove("billing Service DeploymentConfiguration DeploymentCircuitBreaker")),
    ("a_bad_image_is_rolled_back", "no roll-back", put("billing Service DeploymentConfiguration DeploymentCircuitBreaker Rollback", False)),
    ("a_bad_image_is_rolled_back", "tags that move", put("data BillingImages ImageTagMutability", "MUTABLE")),
    ("a_bad_image_is_rolled_back", "no scan", put("data BillingImages ImageScanningConfiguration ScanOnPush", False)),
    ("a_bad_image_is_rolled_back", "an image by its tag", section("billing", "Parameters", "BillingImage", {"Type": "String", "AllowedPattern": ".+"})),
    ("containers_can_do_little", "writes to its image", put(f"{CONTAINER} ReadonlyRootFilesystem", False)),
    ("containers_can_do_little", "root", put(f"{CONTAINER} User", "0:0")),
    ("containers_can_do_little", "whoever the image says", remove(f"{CONTAINER} User")),
    ("containers_can_do_little", "capabilities", remove(f"{CONTAINER} LinuxParameters")),
    ("containers_can_do_little", "a shell", put("billing Service EnableExecuteCommand", True)),
    ("containers_can_do_little", "a public address", put("billing Service NetworkConfiguration AwsvpcConfiguration AssignPublicIp", "ENABLED")),
    ("tasks_may_read_their_secrets", "another secret", put(f"{CONTAINER} Secrets 0 ValueFrom", {"Ref": "Other"})),
    ("tasks_may_read_their_secrets", "no key", put("billing ExecutionRole Policies", [])),
    ("another_secret_starts_new_tasks", "the token as it is", put(f"{CONTAINER} Secrets 0 ValueFrom", {"Ref": "BillingTokenSecretArn"})),
    ("the_database_is_verified", "no region", put(f"{CONTAINER} Environment", [{"Name": "BILLING_LISTEN", "Value": "0.0.0.0:9001"}])),
    # all stacks
    ("data_outlives_its_stack", "a key", remove("data DataKey /DeletionPolicy")),
    ("data_outlives_its_stack", "the events", put("data Kafka /UpdateReplacePolicy", "Delete")),
    ("data_outlives_its_stack", "a table", remove("application AnalyticsTable /UpdateReplacePolicy")),
    ("data_outlives_its_stack", "a new table", with_("application", "NewTable", "AWS::DynamoDB::Table")),
    ("what_stays_blocks_nobody", "a vault", put("data Vault BackupVaultName", {"Ref": "Name"})),
    ("what_stays_blocks_nobody", "images", put("data BillingImages RepositoryName", {"Fn::Sub": "${Name}/images"})),
    ("names_are_short_enough", "a name of the load balancer", put("billing Balancer Name", {"Fn::Sub": "${Name}-lb"})),
    ("names_are_short_enough", "a long name of a function", put("application LoginFunction FunctionName", {"Fn::Sub": "${AWS::StackName}-" + "x" * 32})),
    ("data_is_encrypted", "a table", remove("application AnalyticsTable SSESpecification")),
    ("data_is_encrypted", "a queue", put("application DeadLetterQueue SqsManagedSseEnabled", False)),
    ("data_is_encrypted", "a secret under a key of AWS", remove("data BillingToken KmsKeyId")),
    ("data_is_encrypted", "the topic of the alarms", remove("data AlarmTopic KmsMasterKeyId")),
    ("data_is_encrypted", "a key that never changes", put("data DataKey EnableKeyRotation", False)),
    ("buckets_are_closed", "public", put("data Packages PublicAccessBlockConfiguration BlockPublicAcls", False)),
    ("buckets_are_closed", "plain text", without("data", "PackagesPolicy")),
    ("permissions_name_what_they_are_for", "every bucket", first_statement("billing", "ExecutionRole", "Action", "s3:GetObject")),
    ("permissions_name_what_they_are_for", "every action", first_statement("network", "FlowLogRole", "Action", "logs:*")),
    ("permissions_name_what_they_are_for", "every log group", first_statement("network", "FlowLogRole", "Resource", "*")),
    ("strangers_assume_no_role", "another account", put("data BackupRole AssumeRolePolicyDocument Statement 0 Principal", {"AWS": "*"})),
    ("strangers_assume_no_role", "on behalf of others", remove("data BackupRole AssumeRolePolicyDocument Statement 0 Condition")),
    ("passwords_are_where_they_have_to_be", "a new parameter", section("billing", "Parameters", "DatabasePassword", {"Type": "String", "NoEcho": True})),
    ("passwords_are_where_they_have_to_be", "a parameter that is shown", section("application", "Parameters", "BillingToken", {"Type": "String"})),
    ("passwords_are_where_they_have_to_be", "an output", section("billing", "Outputs", "DatabasePassword", {"Value": "x"})),
    ("passwords_are_where_they_have_to_be", "a new setting", function_setting("API_TOKEN", "x")),
    ("passwords_are_where_they_have_to_be", "under a harmless name", function_setting("ADDRESS", {"Fn::Sub": "postgres://${PatientsDatabasePassword}@here"})),
    ("passwords_are_where_they_have_to_be", "in the open in ECS", put(f"{CONTAINER} Environment", [{"Name": "BILLING_LISTEN", "Value": "0.0.0.0:9001"}, {"Name": "BILLING_TOKEN", "Value": "x"}])),
    ("passwords_are_where_they_have_to_be", "a password for the database", function_setting("DATABASE_URL", {"Fn::Sub": "postgres://${DatabaseRolePrefix}_patients:${PatientsDatabasePassword}@${DatabaseAddress}"})),
    ("everybody_logs_in_to_the_database_as_themselves", "a password", function_setting("DATABASE_URL", {"Fn::Sub": "postgres://${DatabaseRolePrefix}_patients:secret@${DatabaseAddress}"})),
    ("everybody_logs_in_to_the_database_as_themselves", "another service", function_setting("DATABASE_URL", {"Fn::Sub": "postgres://${DatabaseRolePrefix}_audit@${DatabaseAddress}"})),
    ("everybody_logs_in_to_the_database_as_themselves", "no tokens", function_setting("DATABASE_AUTHENTICATION", "PASSWORD")),
    ("everybody_logs_in_to_the_database_as_themselves", "the owner", function_setting("OWNER", {"Fn::Sub": "${DatabaseOwnerSecretArn}"})),
    ("everybody_logs_in_to_the_database_as_themselves", "every role", put("application PatientsDatabasePolicy PolicyDocument Statement 0 Resource", "*")),
    ("everybody_logs_in_to_the_database_as_themselves", "another role of the container", put("billing TaskRole Policies 0 PolicyDocument Statement 0 Resource", {"Fn::Sub": "arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:${DatabaseResourceId}/${DatabaseRolePrefix}_patients"})),
    ("alarms_tell_somebody", "nobody", remove("data BrokerDiskAlarm AlarmActions")),
    ("alarms_tell_somebody", "no word about missing data", remove("billing NoTargetAlarm TreatMissingData")),
    # the network
    ("everybody_reaches_what_they_use", "functions do not reach the database", without("network", "DatabaseFromFunctions")),
    ("everybody_reaches_what_they_use", "another port of the database", put("network FunctionsToDatabase FromPort", 5433)),
    ("everybody_reaches_what_they_use", "functions do not reach Kafka", without("network", "FunctionsToKafka")),
    ("everybody_reaches_what_they_use", "pollers do not reach Kafka", without("network", "KafkaFromPollers")),
    ("everybody_reaches_what_they_use", "functions do not reach billing", without("network", "BalancerFromFunctions")),
    ("everybody_reaches_what_they_use", "the load balancer does not", without("network", "BalancerToBilling")),
    ("everybody_reaches_what_they_use", "functions do not reach the endpoints", without("network", "EndpointsFromFunctions")),
    ("everybody_reaches_what_they_use", "billing does not reach AWS", without("network", "BillingToAws")),
    ("everybody_reaches_what_they_use", "functions in another group", section("network", "Outputs", "VpcSecurityGroupIds", {"Value": {"Ref": "BillingGroup"}})),
    ("everybody_reaches_what_they_use", "the database in another group", section("network", "Outputs", "DatabaseSecurityGroupId", {"Value": {"Ref": "KafkaGroup"}})),
    ("everybody_reaches_what_they_use", "functions reach billing directly", put("network BillingFromBalancer SourceSecurityGroupId", {"Ref": "FunctionGroup"})),
    ("nobody_comes_in", "from the internet", with_("network", "Open", "AWS::EC2::SecurityGroupIngress", GroupId={"Ref": "DatabaseGroup"}, CidrIp="0.0.0.0/0", IpProtocol="tcp", FromPort=5432, ToPort=5432)),
    ("nobody_comes_in", "a group that may connect to everything", remove("network DatabaseGroup SecurityGroupEgress")),
    ("nobody_comes_in", "public addresses", put("network PrivateSubnetA MapPublicIpOnLaunch", True)),
    ("data_has_no_way_out", "a route", put("network PrivateRouteToInternet RouteTableId", {"Ref": "DataRoutes"})),
    ("data_has_no_way_out", "in the subnets of the functions", section("network", "Outputs", "DataSubnetIds", {"Value": {"Fn::Join": [",", [{"Ref": "PrivateSubnetA"}]]}})),
    ("data_has_no_way_out", "brokers elsewhere", put(f"{KAFKA} BrokerNodeGroupInfo ClientSubnets", {"Ref": "VpcSubnetIds"})),
    ("no_subnet_is_public", "functions in a public subnet", put("network PublicRoutesOfSubnet SubnetId", {"Ref": "PrivateSubnetA"})),
    ("no_subnet_is_public", "an internet gateway for a hospital", remove("network InternetGateway /Condition")),
    ("every_call_has_a_way", "no endpoint for SQS", without("network", "SqsEndpoint")),
    ("every_call_has_a_way", "none for SES", without("network", "EmailEndpoint")),
    ("every_call_has_a_way", "none for images", without("network", "EcrDkrEndpoint")),
    ("every_call_has_a_way", "an endpoint without its name", put("network SqsEndpoint PrivateDnsEnabled", False)),
    ("every_call_has_a_way", "no gateway endpoint for DynamoDB", without("network", "DynamoDbEndpoint")),
    ("every_call_has_a_way", "no NAT", without("network", "PrivateRouteToInternet")),
    ("every_call_has_a_way", "an endpoint for nothing", with_("network", "SsmEndpoint", "AWS::EC2::VPCEndpoint", VpcEndpointType="Interface", PrivateDnsEnabled=True, ServiceName={"Fn::Sub": "com.amazonaws.${AWS::Region}.ssm"}, SubnetIds=[1, 2, 3])),
    ("every_call_has_a_way", "a function that calls something new", first_statement("application", "LoginFunctionRole", "Action", "s3tables:GetTable")),
    ("functions_are_in_the_vpc_if_they_need_it", "the authorizer", put("application AuthorizerFunction VpcConfig", {"SubnetIds": []})),
    ("functions_are_in_the_vpc_if_they_need_it", "a function that needs the database", remove("application GetPatientFunction VpcConfig")),
    ("functions_are_in_the_vpc_if_they_need_it", "no limit", remove("application GetPatientFunction ReservedConcurrentExecutions")),
    ("everything_is_on_record", "only what is accepted", put("network FlowLog TrafficType", "ACCEPT")),
]


@pytest.mark.parametrize("name", INVARIANTS)
def test_it_is_true(name: str, system: System) -> None:
    """Of the stacks as they are."""
    problems = list(INVARIANTS[name](system))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("name", "change"),
    [pytest.param(name, change, id=f"{name}: {words}") for name, words, change in MUTATIONS],
)
def test_it_would_be_noticed(name: str, change: Change) -> None:
    """In one of the sizes at least."""
    templates = Templates()
    change(templates)
    problems = [
        problem for each in SIZES for problem in INVARIANTS[name](System.of(each, templates))
    ]
    assert problems


def test_everything_has_been_tried() -> None:
    """An invariant that nothing violates may check nothing."""
    assert {name for name, _, _ in MUTATIONS} == set(INVARIANTS)
