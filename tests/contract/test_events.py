"""Every event has a publisher and the subscribers that it needs; the generated documents are up to date."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import yaml

from event_docs import ROOT, EventDoc, as_yaml, asyncapi, event_docs, markdown, services

NOT_PUBLISHED_YET = {
    "parking.review_resolved.v1": "the service that resolves reviews does not exist yet; its contract is fixed",
}
"""Events without a publisher, each with the reason."""

MAIN_FLOW = {
    "camera.frame_captured.v1": ("ingest", {"plate-ocr"}),
    "plates.plates_read.v1": ("plate-ocr", {"tickets"}),
    # Its subscribers are optional on the bus, but ingest answers `Prefer: wait` requests from it.
    "parking.trigger_decided.v1": ("tickets", {"ingest"}),
}
"""From a camera's event to the answer that it gets: publisher and subscribers of each step."""


@pytest.fixture(scope="module")
def docs() -> list[EventDoc]:
    return event_docs(services())


def problems_of(docs: Sequence[EventDoc]) -> Iterator[str]:
    for doc in docs:
        if not doc.publishers and (doc.subscriptions or doc.name not in NOT_PUBLISHED_YET):
            yield f"{doc.name} has no publisher"
        if doc.publishers and doc.name in NOT_PUBLISHED_YET:
            yield f"{doc.name} has a publisher: remove it from NOT_PUBLISHED_YET"
        if doc.publishers and doc.type.is_subscriber_required and not doc.subscriptions:
            yield f"{doc.name} requires a subscriber and has none"
        if len(doc.publishers) > 1:
            yield f"{doc.name} is published by several services: {', '.join(doc.publishers)}"
        publisher, subscribers = MAIN_FLOW.get(doc.name, (None, set[str]()))
        if publisher is not None and doc.publishers and publisher not in doc.publishers:
            yield f"{doc.name} is not published by {publisher}"
        for missing in sorted(subscribers - {subscription.service for subscription in doc.subscriptions}):
            yield f"{doc.name} is not consumed by {missing}"


def test_every_event_has_its_publisher_and_subscribers(docs: list[EventDoc]) -> None:
    assert {doc.name for doc in docs} >= {*MAIN_FLOW, *NOT_PUBLISHED_YET}
    assert list(problems_of(docs)) == []


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("parking.trigger_decided.v1", {"subscriptions": ()}, "not consumed by ingest"),
        ("parking.trigger_decided.v1", {"publishers": ()}, "no publisher"),
        ("parking.ticket_opened.v1", {"publishers": (), "subscriptions": ()}, "no publisher"),
        ("parking.review_resolved.v1", {"publishers": ("tickets",)}, "remove it from NOT_PUBLISHED_YET"),
        ("plates.plates_read.v1", {"publishers": ("tickets",)}, "not published by plate-ocr"),
        ("parking.ticket_opened.v1", {"publishers": ("tickets", "reports")}, "published by several"),
    ],
)
def test_a_missing_publisher_or_subscriber_is_found(
    docs: list[EventDoc], name: str, change: dict[str, Any], problem: str
) -> None:
    changed = [replace(doc, **change) if doc.name == name else doc for doc in docs]
    [found] = problems_of(changed)
    assert found.startswith(name)
    assert problem in found


def test_an_event_that_requires_a_subscriber_has_one(docs: list[EventDoc]) -> None:
    changed = [
        replace(doc, subscriptions=()) if doc.name == "camera.frame_captured.v1" else doc for doc in docs
    ]
    assert list(problems_of(changed)) == [
        "camera.frame_captured.v1 requires a subscriber and has none",
        "camera.frame_captured.v1 is not consumed by plate-ocr",
    ]


def test_no_two_subscriptions_share_a_queue(docs: list[EventDoc]) -> None:
    queues = [subscription.queue for doc in docs for subscription in doc.subscriptions]
    assert len(queues) == len(set(queues))


def test_the_committed_documents_are_up_to_date(docs: list[EventDoc]) -> None:
    assert (ROOT / "docs/events.md").read_text() == markdown(docs)
    assert (ROOT / "docs/asyncapi.yaml").read_text() == as_yaml(asyncapi(docs))


@pytest.fixture(scope="module")
def document(docs: list[EventDoc]) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(as_yaml(asyncapi(docs)))
    return parsed


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [item] if key == "$ref" else references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_asyncapi_has_what_version_3_requires(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    assert set(document) <= {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    for reference in references(document):
        assert resolved(document, reference)
    for channel in document["channels"].values():
        in_address = {word.strip("{}") for word in channel["address"].split(".") if word.startswith("{")}
        assert set(channel["parameters"]) == in_address
        assert channel["messages"]
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert operation["channel"]["$ref"].startswith("#/channels/")
    for schema in document["components"]["schemas"].values():
        assert set(schema) == {"schemaFormat", "schema"}


def test_asyncapi_has_each_event_with_its_operations(document: dict[str, Any], docs: list[EventDoc]) -> None:
    assert [channel["address"] for channel in document["channels"].values()] == [doc.address for doc in docs]
    sent = {
        operation["channel"]["$ref"].removeprefix("#/channels/")
        for operation in document["operations"].values()
        if operation["action"] == "send"
    }
    assert sent == {doc.name for doc in docs if doc.publishers}
