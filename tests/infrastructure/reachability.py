"""Who can reach whom, according to security groups, routes and endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from invariants import actions_of, invariant
from stacks import APPLICATION, System, as_list, statements

PRIVATE = {"PrivateSubnetA", "PrivateSubnetB", "PrivateSubnetC"}
DATA = {"DataSubnetA", "DataSubnetB", "DataSubnetC"}

# Exactly these, and nothing else.
REACHES = {
    ("functions", "database", 5432),
    ("functions", "kafka", 9098),
    ("functions", "balancer", 443),
    ("functions", "AWS", 443),
    ("pollers", "kafka", 9098),
    ("balancer", "billing", 9001),
    ("billing", "database", 5432),
    ("billing", "AWS", 443),
}
REACHES_ENDPOINTS = {("functions", "endpoints", 443), ("billing", "endpoints", 443)}

# How the services are called in policies, and how their endpoints are. Those without one are
# called by Lambda itself, or with a signature that is made here.
ENDPOINT_OF = {"ses": "email", "ecr": "ecr.api"}
NOT_CALLED_FROM_THE_VPC = {
    "kafka": "Lambda's pollers look the brokers up",
    "kafka-cluster": "the brokers themselves",
    "rds-db": "the database itself",
    "ec2": "Lambda's pollers look the network up",
    "lambda": "nobody calls it",
    "kms": "Secrets Manager calls it",
    "sts": "Lambda and ECS assume the roles",
    "xray": "Lambda sends traces",
}


def groups(system: System) -> dict[str, list[str]]:
    """Which security groups what has, as the parameters lead there."""

    def of(stack: str, value: object) -> list[str]:
        _, origin = system.origin(stack, value)
        return [each["Ref"] for each in as_list(origin)]

    data, billing = system.stacks["data"], system.stacks["billing"]
    (service,) = [each for _, each in billing.of_type("AWS::ECS::Service")]
    (balancer,) = [
        each for _, each in billing.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer")
    ]
    (cluster,) = [each for _, each in data.of_type("AWS::MSK::Cluster")]
    kafka = of("data", cluster["BrokerNodeGroupInfo"]["SecurityGroups"])
    database = [
        group
        for type_ in ("AWS::RDS::DBInstance", "AWS::RDS::DBCluster")
        for _, each in data.of_type(type_)
        for key in ("VPCSecurityGroups", "VpcSecurityGroupIds")
        for group in of("data", each.get(key, []))
    ]
    members = {
        "functions": of(APPLICATION, {"Ref": "VpcSecurityGroupIds"}),
        "billing": of(
            "billing", service["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"]
        ),
        "balancer": of("billing", balancer["SecurityGroups"]),
        "database": database,
        "kafka": kafka,
        # They enter the VPC with the groups of the cluster.
        "pollers": kafka,
    }
    endpoints = [
        group["Ref"]
        for _, each in system.of_type("AWS::EC2::VPCEndpoint")
        for group in each.get("SecurityGroupIds", [])
    ]
    return members | ({"endpoints": endpoints} if endpoints else {})


def open_ways(system: System) -> set[tuple[str, str, int]]:
    """From, to and port, for everything that both ends allow."""
    network = system.stacks["network"]
    out = [each for _, each in network.of_type("AWS::EC2::SecurityGroupEgress")]
    into = [each for _, each in network.of_type("AWS::EC2::SecurityGroupIngress")]
    ways = set()
    members = groups(system)
    for one, its in members.items():
        for rule in out:
            if rule["GroupId"]["Ref"] not in its:
                continue
            ports = range(rule["FromPort"], rule["ToPort"] + 1)
            if "CidrIp" in rule:
                ways |= {(one, "AWS", port) for port in ports}
                if one == "functions" or one == "billing":
                    ways |= {
                        (one, "endpoints", port)
                        for port in ports
                        for entry in into
                        if entry["GroupId"]["Ref"] in members.get("endpoints", [])
                        and entry.get("SourceSecurityGroupId", {}).get("Ref") in its
                        and entry["FromPort"] <= port <= entry["ToPort"]
                    }
                continue
            for other, theirs in members.items():
                if other == "pollers" or rule["DestinationSecurityGroupId"]["Ref"] not in theirs:
                    continue
                if one == other:
                    # The brokers talk to each other on their own network.
                    continue
                ways |= {
                    (one, other, port)
                    for port in ports
                    for entry in into
                    if entry["GroupId"]["Ref"] in theirs
                    and entry.get("SourceSecurityGroupId", {}).get("Ref") in its
                    and entry["FromPort"] <= port <= entry["ToPort"]
                }
    return ways


@invariant
def everybody_reaches_what_they_use(system: System) -> Iterator[str]:
    """And nothing else."""
    wanted = REACHES | (REACHES_ENDPOINTS if system.size == "hospital" else set())
    ways = open_ways(system)
    for one, other, port in sorted(wanted - ways):
        yield f"{one} cannot reach {other} on {port}"
    for one, other, port in sorted(ways - wanted):
        yield f"{one} can reach {other} on {port}"


@invariant
def nobody_comes_in(system: System) -> Iterator[str]:
    """No rule lets addresses in, and no group allows everything by default."""
    network = system.stacks["network"]
    for name, rule in network.of_type("AWS::EC2::SecurityGroupIngress"):
        if "SourceSecurityGroupId" not in rule:
            yield f"{name}: from {rule.get('CidrIp')}"
    for name, group in network.of_type("AWS::EC2::SecurityGroup"):
        if group.get("SecurityGroupIngress"):
            yield f"{name}: a rule of its own"
        if [each["CidrIp"] for each in group.get("SecurityGroupEgress", [])] != ["127.0.0.1/32"]:
            yield f"{name}: may connect to everything"
    for name, subnet in network.of_type("AWS::EC2::Subnet"):
        if subnet.get("MapPublicIpOnLaunch") is not False:
            yield f"{name}: gives public addresses"


def routes_of(system: System, subnet: str) -> list[dict]:
    """The routes of a subnet beyond the VPC."""
    network = system.stacks["network"]
    tables = [
        each["RouteTableId"]
        for _, each in network.of_type("AWS::EC2::SubnetRouteTableAssociation")
        if each["SubnetId"]["Ref"] == subnet
    ]
    return [
        each for _, each in network.of_type("AWS::EC2::Route") if each["RouteTableId"] in tables
    ]


@invariant
def data_has_no_way_out(system: System) -> Iterator[str]:
    """Database and brokers are in subnets of which no route leads away."""
    for stack, value in [("data", {"Ref": "DataSubnetIds"})]:
        _, origin = system.origin(stack, value)
        subnets = {each["Ref"] for each in origin["Fn::Join"][1]}
        if subnets != DATA:
            yield f"database and brokers are in {sorted(subnets)}"
    for subnet in sorted(DATA):
        for route in routes_of(system, subnet):
            yield f"{subnet}: a route to {route['DestinationCidrBlock']}"
    # Brokers and database say which subnets they are in, and it is these.
    for name, group in system.of_type("AWS::RDS::DBSubnetGroup"):
        if group["SubnetIds"] != {"Ref": "DataSubnetIds"}:
            yield f"{name}: {group['SubnetIds']}"
    for name, cluster in system.of_type("AWS::MSK::Cluster"):
        if "VpcSubnetIds" in str(cluster["BrokerNodeGroupInfo"]["ClientSubnets"]):
            yield f"{name}: not in the subnets for data"


@invariant
def no_subnet_is_public(system: System) -> Iterator[str]:
    """Only the NAT gateway is in a subnet with a route to the internet gateway."""
    network = system.stacks["network"]
    for name, _ in network.of_type("AWS::EC2::Subnet"):
        for route in routes_of(system, name):
            if "GatewayId" in route and name != "PublicSubnet":
                yield f"{name}: a route to the internet gateway"
    for stack in ("billing", APPLICATION):
        _, origin = system.origin(stack, {"Ref": "VpcSubnetIds"})
        subnets = {each["Ref"] for each in origin["Fn::Join"][1]}
        if subnets != PRIVATE:
            yield f"{stack} is in {sorted(subnets)}"
    if system.size == "hospital" and any(network.of_type("AWS::EC2::InternetGateway")):
        yield "a hospital has a way to the internet"


def called_services(system: System) -> set[str]:
    """What functions in the VPC and the billing service call, as their policies say."""
    application = system.stacks[APPLICATION]
    called = set()
    for name, function in application.of_type("AWS::Lambda::Function"):
        if "VpcConfig" in function:
            called |= {each.split(":")[0] for each in actions_of(system.permissions(name))}
    (task,) = [
        each for _, each in system.stacks["billing"].of_type("AWS::ECS::TaskDefinition")
    ]
    role = system.stacks["billing"].resources[task["ExecutionRoleArn"]["Fn::GetAtt"][0]]
    called |= {each.split(":")[0] for each in actions_of([*statements(role["Properties"])])}
    called -= set(NOT_CALLED_FROM_THE_VPC)
    # An image is a manifest from ECR and layers from S3.
    return {ENDPOINT_OF.get(each, each) for each in called} | {"ecr.dkr", "s3"}


@invariant
def every_call_has_a_way(system: System) -> Iterator[str]:
    """Through NAT, or through an endpoint for each service; and no endpoint is paid for nothing."""
    network = system.stacks["network"]
    through_nat = any(
        "NatGatewayId" in route for subnet in PRIVATE for route in routes_of(system, subnet)
    )
    interface, gateway = set(), set()
    for _, endpoint in network.of_type("AWS::EC2::VPCEndpoint"):
        service = endpoint["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}.")
        if endpoint["VpcEndpointType"] == "Gateway":
            if endpoint["RouteTableIds"] == [{"Ref": "PrivateRoutes"}]:
                gateway.add(service)
        elif endpoint.get("PrivateDnsEnabled"):
            interface.add(service)
    called = called_services(system)
    if not {"dynamodb", "s3"} <= gateway:
        yield f"gateway endpoints only for {sorted(gateway)}"
    if not through_nat:
        for service in sorted(called - interface - gateway):
            yield f"no way to {service}"
    for service in sorted(interface - called):
        yield f"an endpoint for {service}, which nobody calls"
    if through_nat and interface:
        yield "both NAT and interface endpoints are paid for"


# What a function has in its environment if it uses something in the VPC.
NEEDS_THE_VPC = {"DATABASE_URL", "DATABASE_OWNER_URL", "KAFKA_BOOTSTRAP_SERVERS", "BILLING_URL"}


@invariant
def functions_are_in_the_vpc_if_they_need_it(system: System) -> Iterator[str]:
    """Outside, they start faster, and nothing limits how often they run."""
    application = system.stacks[APPLICATION]
    # Lambda's pollers enter the VPC with the role of the function.
    consumers = {
        each["FunctionName"]["Ref"]
        for _, each in application.of_type("AWS::Lambda::EventSourceMapping")
        if "Topics" in each
    }
    for name, function in application.of_type("AWS::Lambda::Function"):
        settings = set(function.get("Environment", {}).get("Variables", {}))
        needs = bool(settings & NEEDS_THE_VPC) or name in consumers
        if needs != ("VpcConfig" in function):
            yield f"{name}: {'not ' * needs}in the VPC"
        if needs != ("ReservedConcurrentExecutions" in function):
            yield f"{name}: {'not ' * needs}limited"


@invariant
def everything_is_on_record(system: System) -> Iterator[str]:
    """Accepted and rejected connections of the whole VPC."""
    logs = [each for _, each in system.of_type("AWS::EC2::FlowLog")]
    if [(each["ResourceType"], each["TrafficType"]) for each in logs] != [("VPC", "ALL")]:
        yield f"flow logs: {logs}"
