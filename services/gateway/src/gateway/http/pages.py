"""The start page, the API page and the account page. They load nothing from other hosts: sites have no internet."""

import hashlib
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse

from gateway.domain.passwords import PasswordRules
from gateway.handlers.merge_api_documents import MergedApiDocument
from kit.errors import NotFound
from kit.health import Health, NamedCheckResult
from kit.query import any_query

# Scripts and styles of this host only; Swagger UI uses inline styles and data: images.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}
_ACCOUNT_ASSETS = {
    "account.js": "text/javascript; charset=utf-8",
    "account.css": "text/css; charset=utf-8",
}
_Asset = tuple[bytes, str, str]
"""Content, media type, ETag."""
_START_SCRIPT = b"""window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    persistAuthorization: false,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
});
"""


def page_routes(
    api_document: MergedApiDocument,
    health: Health,
    version: str,
    password_rules: PasswordRules,
    *,
    is_state_public: bool,
) -> APIRouter:
    """The routes. `is_state_public`: the start page shows the state of each part."""
    # Browsers and proxies add parameters to the address of a page, against caches for example.
    router = APIRouter(include_in_schema=False, dependencies=[Depends(any_query)])
    assets, account_assets = _load_assets(), _load_account_assets()
    account_page = _account_page(password_rules)

    @router.get("/")
    async def start() -> HTMLResponse:
        readiness = await health.ready()
        return _page(
            _START_PAGE.format(
                version=escape(version), rows=_rows(readiness.results if is_state_public else ())
            )
        )

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return _page(_API_PAGE)

    @router.get("/docs/assets/{name}")
    async def asset(name: str) -> Response:
        return _asset(assets, name, "public, max-age=3600")

    @router.get("/account")
    async def account() -> HTMLResponse:
        return _page(account_page)

    @router.get("/account/assets/{name}")
    async def account_asset(name: str) -> Response:
        # They change with the page, which is not cached either.
        return _asset(account_assets, name, "no-cache")

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(await api_document(), media_type="application/json")

    del start, docs, asset, account, account_asset, openapi
    return router


def _asset(assets: Mapping[str, _Asset], name: str, cache_control: str) -> Response:
    if name not in assets:
        raise NotFound(f"There is no file {name[:100]}.")
    body, media_type, etag = assets[name]
    return Response(body, media_type=media_type, headers={"Cache-Control": cache_control, "ETag": etag})


def _load_assets() -> Mapping[str, _Asset]:
    """Swagger UI (Apache-2.0) from the wheel that contains it: file name → content, media type, ETag."""
    folder: Traversable = files("fastapi_offline").joinpath("static")
    read = {name: (folder.joinpath(name).read_bytes(), media_type) for name, media_type in _ASSETS.items()}
    read["start.js"] = (_START_SCRIPT, _ASSETS["swagger-ui-bundle.js"])
    return _with_etags(read)


def _load_account_assets() -> Mapping[str, _Asset]:
    folder: Traversable = files("gateway.http").joinpath("static")
    return _with_etags(
        {
            name: (folder.joinpath(name).read_bytes(), media_type)
            for name, media_type in _ACCOUNT_ASSETS.items()
        }
    )


def _with_etags(read: Mapping[str, tuple[bytes, str]]) -> Mapping[str, _Asset]:
    return {
        name: (body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
        for name, (body, media_type) in read.items()
    }


def _account_page(rules: PasswordRules) -> str:
    template = files("gateway.http").joinpath("static", "account.html").read_text(encoding="utf-8")
    hint = f"{rules.min_chars} characters or more"
    if rules.min_guesses_log10 > 0:
        hint += "; no common word or password, not your user name. Several words in a row are good"
    return template.replace("{password_hint}", escape(f"{hint}."))


def _page(html: str) -> HTMLResponse:
    return HTMLResponse(html, headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"})


def _rows(results: tuple[NamedCheckResult, ...]) -> str:
    return "\n".join(
        f'<tr><th scope="row">{escape(result.name)}</th><td class="{"up" if result.ok else "down"}">'
        f"{'up' if result.ok else 'down'}</td><td>{escape(result.detail)}</td></tr>"
        for result in results
    )


_START_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lookout</title>
<link rel="icon" href="/docs/assets/favicon.png">
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }}
body {{ max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8886 }}
.up::before {{ content: "\\2713 " }} .down::before {{ content: "\\2717 " }} .down {{ font-weight: bold }}
a:focus-visible {{ outline: 3px solid; outline-offset: 2px }}
.skip {{ position: absolute; left: -99rem }} .skip:focus {{ position: static }}
</style>
</head>
<body>
<a class="skip" href="#main">To the content</a>
<main id="main">
<h1>Lookout</h1>
<p>Version {version}. Reads licence plates from a site's cameras and keeps its parking sessions.</p>
<h2>Links</h2>
<ul>
<li><a href="/account">Your account</a>: change your password, see what you may do</li>
<li><a href="/docs">The API, where every operation can be tried</a></li>
<li><a href="/openapi.json">The API as an OpenAPI document</a></li>
<li><a href="/health/ready">Readiness</a> and <a href="/health/live">liveness</a>, for probes</li>
<li><a href="/metrics">Metrics</a>, for Prometheus</li>
<li><a href="/.well-known/jwks.json">The public keys that tokens are verified with</a></li>
</ul>
<h2>Readiness</h2>
<table>
<thead><tr><th scope="col">Part</th><th scope="col">State</th><th scope="col">Detail</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""

_API_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lookout API</title>
<link rel="icon" href="/docs/assets/favicon.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<noscript>This page needs JavaScript; the document is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
