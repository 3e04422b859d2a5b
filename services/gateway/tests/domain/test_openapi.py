from gateway.domain.openapi import ServiceDocument, merge_openapi


def service(name, paths, components=None):
    document = {"openapi": "3.1.0", "info": {"title": name, "description": f"About {name}"}, "paths": paths}
    if components is not None:
        document["components"] = components
    return ServiceDocument(name, document)


def operation(name, ref=None, **more):
    schema = {"$ref": f"#/components/schemas/{ref}"} if ref else {}
    return {
        "operationId": name,
        "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
        **more,
    }


def merged(*documents, is_routed=lambda _service, path: path.startswith("/api/"), aliases=None):
    return merge_openapi(
        documents,
        title="Lookout",
        version="1",
        description="All of it.",
        is_routed=is_routed,
        aliases_of=lambda path: (aliases or {}).get(path, ()),
    )


def test_paths_of_all_services_are_merged_and_tagged():
    page = merged(
        service(
            "ingest", {"/api/v1/post": {"post": operation("post")}, "/metrics": {"get": operation("metrics")}}
        ),
        service("tickets", {"/api/v1/tickets": {"get": operation("list", tags=["x"])}}),
    )
    assert set(page["paths"]) == {"/api/v1/post", "/api/v1/tickets"}
    assert page["paths"]["/api/v1/tickets"]["get"]["tags"] == ["tickets"]
    assert [tag["name"] for tag in page["tags"]] == ["ingest", "tickets"]


def test_aliases_are_in_the_description():
    page = merged(
        service("ingest", {"/api/v1/post": {"post": operation("post", description="A report.")}}),
        aliases={"/api/v1/post": ("/post",)},
    )
    assert page["paths"]["/api/v1/post"]["post"]["description"] == "A report.\n\nAlso at `/post`."


def test_components_with_one_name_and_two_definitions_get_prefixes():
    page = merged(
        service(
            "ingest",
            {"/api/v1/a": {"get": operation("a", "Page")}},
            {"schemas": {"Page": {"title": "A"}, "Problem": {"title": "P"}}},
        ),
        service(
            "plate-ocr",
            {"/api/v1/b": {"get": operation("b", "Page")}},
            {"schemas": {"Page": {"title": "B"}, "Problem": {"title": "P"}}},
        ),
    )
    assert page["components"]["schemas"] == {
        "IngestPage": {"title": "IngestPage"},
        "PlateOcrPage": {"title": "PlateOcrPage"},
        "Problem": {"title": "P"},
    }
    assert ref_of(page, "/api/v1/a") == "#/components/schemas/IngestPage"
    assert ref_of(page, "/api/v1/b") == "#/components/schemas/PlateOcrPage"


def test_a_component_that_refers_to_a_clashing_one_gets_a_prefix():
    def schemas(title):
        return {
            "schemas": {
                "Item": {"title": title},
                "Page": {"properties": {"item": {"$ref": "#/components/schemas/Item"}}},
            }
        }

    page = merged(
        service("a", {"/api/v1/a": {"get": operation("a", "Page")}}, schemas("A")),
        service("b", {"/api/v1/b": {"get": operation("b", "Page")}}, schemas("B")),
    )
    assert (
        page["components"]["schemas"]["APage"]["properties"]["item"]["$ref"] == "#/components/schemas/AItem"
    )
    assert (
        page["components"]["schemas"]["BPage"]["properties"]["item"]["$ref"] == "#/components/schemas/BItem"
    )


def test_security_schemes_follow_their_new_name():
    def document(name, scheme):
        return service(
            name,
            {f"/api/v1/{name}": {"get": operation(name, security=[{"Token": []}])}},
            {"securitySchemes": {"Token": scheme}},
        )

    page = merged(document("a", {"type": "http"}), document("b", {"type": "apiKey"}))
    assert page["paths"]["/api/v1/a"]["get"]["security"] == [{"AToken": []}]
    assert set(page["components"]["securitySchemes"]) == {"AToken", "BToken"}


def test_operation_ids_stay_unique():
    page = merged(
        service("ingest", {"/api/v1/a": {"get": operation("list")}}),
        service("plate-ocr", {"/api/v1/b": {"get": operation("list")}}),
    )
    assert page["paths"]["/api/v1/a"]["get"]["operationId"] == "list"
    assert page["paths"]["/api/v1/b"]["get"]["operationId"] == "plate_ocr_list"


def test_a_missing_document_is_named_and_the_others_are_merged():
    page = merged(
        ServiceDocument("tickets", None, "no answer"),
        service("ingest", {"/api/v1/post": {"post": operation("post")}}),
    )
    assert "**tickets** is missing here: no answer." in page["info"]["description"]
    assert set(page["paths"]) == {"/api/v1/post"}


def test_the_merged_documents_are_not_modified():
    given = service("a", {"/api/v1/a": {"get": operation("a")}})
    merged(given, service("b", {"/api/v1/b": {"get": operation("a")}}))
    assert "tags" not in given.document["paths"]["/api/v1/a"]["get"]


def ref_of(page, path):
    return page["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
