# SPDX-License-Identifier: Apache-2.0
"""``python bare_api.py PORT``: bare routes of the framework of the C2's API, with answers like its own, and nothing behind them."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class New(BaseModel):
    name: str


class Topic(BaseModel):
    name: str
    id: str
    members: int
    created: float


@app.get("/topics/{identity}")
async def show(identity: str) -> Topic:
    return Topic(name="bench", id=identity, members=0, created=1.5)


@app.post("/topics", status_code=201)
async def make(new: New) -> Topic:
    return Topic(name=new.name, id="0" * 32, members=0, created=1.5)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), http="h11", log_config=None, access_log=False, server_header=False)
