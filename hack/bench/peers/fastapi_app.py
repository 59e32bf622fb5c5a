"""FastAPI and onnxruntime, as most people begin: no batching, orjson in and out."""

import orjson
from fastapi import FastAPI, Request, Response
from onnx_model import OUTPUTS, arrays_of, reply_of, session_of

app = FastAPI()
sessions = {name: session_of(name) for name in OUTPUTS}


@app.post("/v2/models/{model}/infer")
async def infer(model: str, request: Request) -> Response:
    feeds = arrays_of(orjson.loads(await request.body()))
    (output,) = sessions[model].run(None, feeds)
    return Response(orjson.dumps(reply_of(model, output)), media_type="application/json")
