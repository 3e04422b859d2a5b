"""Images, compose file and settings agree on ports, variables and services."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from kit.service import installed_services
from kit.settings import read
from plate_ocr.settings import PlateOcrSettings
from service_list import compose_part, service_list, with_compose_part

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
