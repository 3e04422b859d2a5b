"""Images, compose file and settings agree on ports, variables and services."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.service import installed_services
from kit.settings import read
from plate_ocr.settings import PlateOcrSettings
from service_list import blob_policy, compose_part, service_list, with_compose_part

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {service.name: service for service in service_list()}
COMPOSE = (ROOT / "docker-compose.yml").read_text()


SETTINGS = {service.name: service.settings for service in installed_services()}


def interpolated(value: object) -> str:
    """The value with defaults in place of variables, and `word` for those without a default."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))
    return re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "word", text)


def test_no_secret_has_a_default() -> None:
    for name, operator in re.findall(r"\$\{([A-Z_]+(?:PASSWORD|TOKEN|KEY))(:[?-])?", COMPOSE):
        assert operator == ":?", f"{name} must be required"


def test_the_example_has_every_variable_that_compose_requires() -> None:
    example = (ROOT / ".env.example").read_text()
    required = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE))
    assert required
    assert required <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_only_the_gateway_has_published_ports() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["gateway"]


def containers() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return found


def test_every_container_is_confined() -> None:
    for name, container in containers().items():
        assert container["cap_drop"] == ["ALL"], name
        assert container["security_opt"] == ["no-new-privileges:true"], name
        limits = container.get("deploy", {}).get("resources", {}).get("limits", {})
        assert container.get("pids_limit") or limits.get("pids"), f"{name} has no limit of processes"


def test_only_the_gateway_and_the_cameras_networks_have_a_route_out() -> None:
    networks = yaml.safe_load(COMPOSE)["networks"]
    open_networks = {name for name, network in networks.items() if not (network or {}).get("internal")}
    assert open_networks == {"public", "cameras"}
    masquerade = networks["public"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"]
    assert masquerade == "false"
    inside = {name: open_networks & set(container["networks"]) for name, container in containers().items()}
    assert {name: found for name, found in inside.items() if found} == {
        "gateway": {"public"},
        "ingest": {"cameras"},
    }


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_is_connected_to_the_servers_that_it_uses_only(service: str) -> None:
    entry = SERVICES[service]
    used = {"bus": "rabbitmq" in entry.needs, "blobs": "minio" in entry.needs, "database": entry.has_database}
    connected = set(containers()[service]["networks"])
    assert connected & set(used) == {network for network, is_used in used.items() if is_used}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_service_has_an_administrators_or_another_services_password(service: str) -> None:
    for container in (service, f"{service}-migrate"):
        text = str(containers().get(container, {}).get("environment", {}))
        assert not set(re.findall(r"\$\{([A-Z_]+)", text)) & {
            "POSTGRES_PASSWORD",
            "RABBITMQ_PASSWORD",
            "MINIO_ROOT_USER",
            "MINIO_ROOT_PASSWORD",
        }
        for other in SERVICES.values():
            if other.name != service:
                assert f"${{{other.variable}_" not in text


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_the_areas_of_its_broker_user_are_those_of_its_events(service: str) -> None:
    entry = SERVICES[service]
    events = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
    areas: dict[str, set[str]] = {"send": set(), "receive": set()}
    for name, operation in events["operations"].items():
        if name.partition(".")[0] == service:
            areas[operation["action"]].add(operation["channel"]["$ref"].rpartition("/")[2].partition(".")[0])
    assert (set(entry.publishes), set(entry.subscribes)) == (areas["send"], areas["receive"])


@pytest.mark.parametrize("service", sorted(name for name in SERVICES if SERVICES[name].has_grpc))
def test_nobody_calls_a_service_without_being_named(service: str) -> None:
    environment = containers()[service]["environment"]
    callers = json.loads(environment[f"LOOKOUT_{SERVICES[service].variable}__GRPC__CALLERS"])
    assert set(callers) == {caller.name for caller in SERVICES.values() if service in caller.calls}


def test_a_caller_is_named_with_its_methods_and_its_own_token() -> None:
    shop = replace(
        SERVICES["tickets"], name="shop", calls={"tickets": ["lookout.parking.v1.Tickets/GetTicket"]}
    )
    part = yaml.safe_load(
        COMPOSE.partition("services:")[0] + "services:\n" + compose_part([*SERVICES.values(), shop])
    )
    called = json.loads(part["services"]["tickets"]["environment"]["LOOKOUT_TICKETS__GRPC__CALLERS"])
    token = part["services"]["shop"]["environment"]["LOOKOUT_GRPC_TOKEN"]
    assert called == {"shop": {"token": token, "methods": ["lookout.parking.v1.Tickets/GetTicket"]}}
    assert token.startswith("${SHOP_GRPC_TOKEN:?")


def test_the_policy_of_the_blob_store_has_the_areas_of_the_service() -> None:
    assert blob_policy(SERVICES["plate-ocr"], "pictures")["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::pictures"],
        },
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::pictures/*"]},
        {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::pictures/crops/*"]},
    ]


def test_prometheus_asks_the_services_on_their_ports_with_the_token() -> None:
    folder = ROOT / "deploy/prometheus"
    scraped = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"][0]
    services = yaml.safe_load((folder / "compose.yml").read_text())["services"]
    token_file = scraped["authorization"]["credentials_file"]
    ports = {name: each["port"] for each in scraped["dns_sd_configs"] for name in each["names"]}
    assert {"gateway", "ingest", "plate-ocr", "tickets"} <= set(ports)
    for name, port in ports.items():
        assert port == SERVICES[name].http_port
        assert services[name]["environment"] == {
            f"LOOKOUT_{SERVICES[name].variable}__HTTP__METRICS_TOKEN_FILE": token_file
        }


def test_the_gpu_runtime_has_the_locked_version() -> None:
    locked = {
        package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    pinned = (ROOT / "services/plate-ocr/gpu-requirements.txt").read_text()
    assert f"onnxruntime-gpu=={locked['onnxruntime']['version']} " in pinned, (
        "run services/plate-ocr/gpu-lock"
    )


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_the_services_accept_their_environment_in_compose(service: str) -> None:
    environment = yaml.safe_load(COMPOSE)["services"][service]["environment"]
    settings = read(
        SETTINGS[service], environ={name: interpolated(value) for name, value in environment.items()}
    )
    assert settings.mode == "distributed"
    assert settings.http.port == SERVICES[service].http_port
    assert settings.grpc.port == SERVICES[service].grpc_port


def test_the_image_exposes_the_ports_of_the_service() -> None:
    for name, service in SERVICES.items():
        arguments = yaml.safe_load(COMPOSE)["services"][name]["build"]["args"]
        ports = [port for port in (service.http_port, service.grpc_port) if port]
        assert arguments["PORTS"] == " ".join(map(str, ports))
        assert arguments["HTTP_PORT"] == service.http_port
        assert arguments["PACKAGE"] == service.package


def test_the_compose_file_is_up_to_date() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert with_compose_part(text, compose_part(service_list())) == text, "run: make compose-file"


def test_plate_ocr_accepts_the_settings_of_its_gpu_container() -> None:
    gpu = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())["services"]["plate-ocr"][
        "environment"
    ]
    environment = {name: str(value) for name, value in gpu.items() if name.startswith("LOOKOUT_")} | {
        "RABBITMQ_URL": "amqp://broker/",
        "LOOKOUT_PLATE_OCR__BLOBS__URL": "file:///blobs",
        "LOOKOUT_GRPC_TOKEN": "word",
    }
    settings = read(PlateOcrSettings, environ=environment)
    assert settings.inference.providers[0] == "CUDAExecutionProvider"
