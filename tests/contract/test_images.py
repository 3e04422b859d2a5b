"""The images and the compose file say the same thing in several places; these keep them together."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from kit.settings import ServiceSettings, read
from plate_ocr.settings import PlateOcrSettings
from tickets.settings import TicketsSettings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"gateway": "8000", "ingest": "8101", "plate-ocr": "8102", "tickets": "8103"}
COMPOSE = (ROOT / "docker-compose.yml").read_text()


SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "ingest": IngestSettings,
    "plate-ocr": PlateOcrSettings,
    "tickets": TicketsSettings,
}


def interpolated(value: object) -> str:
    """A variable with a default becomes that, one without becomes some word."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))
    return re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "word", text)


def without_names(service: str) -> str:
    text = (ROOT / "services" / service / "Dockerfile").read_text()
    text = text.replace(SERVICES[service], "HTTP").replace(
        f"HTTP {SERVICES[service].replace('81', '91', 1)}", "HTTP"
    )
    text = re.sub(r'(image\.description=)"[^"]*"', r"\1DESCRIPTION", text)
    return re.sub(rf"\b({service}|{service.replace('-', '_')})\b", "SERVICE", text)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_the_dockerfiles_differ_in_names_and_ports_only(service: str) -> None:
    assert without_names(service) == without_names("ingest")


def test_no_secret_has_a_default() -> None:
    for name, operator in re.findall(r"\$\{([A-Z_]+(?:PASSWORD|TOKEN|KEY))(:[?-])?", COMPOSE):
        assert operator == ":?", f"{name} must be refused when it is not set"


def test_the_example_names_every_variable_that_compose_demands() -> None:
    example = (ROOT / ".env.example").read_text()
    demanded = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE))
    assert demanded
    assert demanded <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_the_gateway_alone_is_published() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["gateway"]


def test_the_gpu_runtime_is_the_locked_one() -> None:
    locked = {
        package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    pinned = (ROOT / "services/plate-ocr/gpu-requirements.txt").read_text()
    assert f"onnxruntime-gpu=={locked['onnxruntime']['version']} " in pinned, (
        "run services/plate-ocr/gpu-lock"
    )


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_the_services_take_what_compose_tells_them(service: str) -> None:
    environment = yaml.safe_load(COMPOSE)["services"][service]["environment"]
    settings = read(
        SETTINGS[service], environ={name: interpolated(value) for name, value in environment.items()}
    )
    assert settings.mode == "distributed"
    assert str(settings.http.port) == SERVICES[service]


def test_plate_ocr_takes_what_its_gpu_image_tells_it() -> None:
    dockerfile = (ROOT / "services/plate-ocr/Dockerfile.gpu").read_text()
    told = dict(re.findall(r"(LOOKOUT_\w+)=(\S+)", dockerfile))
    environment = {
        "RABBITMQ_URL": "amqp://broker/",
        "LOOKOUT_PLATE_OCR__BLOBS__URL": "file:///blobs",
        "LOOKOUT_GRPC_TOKEN": "word",
    }
    settings = read(PlateOcrSettings, environ=environment | told)
    assert settings.inference.providers[0] == "CUDAExecutionProvider"
