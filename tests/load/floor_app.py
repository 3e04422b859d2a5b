"""The floor of `bench_accept`: reads the body, writes it to a file, commits one row. Nothing is validated."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from pathlib import Path

import psycopg
import uvicorn
from starlette.types import Receive, Scope, Send

CONNECTIONS = 10


class Floor:
    """A bare ASGI application that writes bodies to `folder`."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.folder = folder
        self.pool: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()
        self.is_open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        if scope["method"] == "POST":
            name = uuid.uuid4().hex
            await asyncio.to_thread(self.write, name, b"".join(parts))
            connection = await self.connection()
            await connection.execute("INSERT INTO floor (name) VALUES (%s)", (name,))
            await connection.commit()
            self.pool.put_nowait(connection)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def connection(self) -> psycopg.AsyncConnection:
        if not self.is_open:
            self.is_open = True
            for _ in range(CONNECTIONS):
                self.pool.put_nowait(await psycopg.AsyncConnection.connect(self.database_url))
        return await self.pool.get()

    def write(self, name: str, body: bytes) -> None:
        with (self.folder / name).open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())


def main() -> None:
    """`floor_app.py DATABASE_URL FOLDER PORT`."""
    database_url, folder, port = sys.argv[1:4]
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, name text)")
    uvicorn.run(Floor(database_url, Path(folder)), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
