"""KServe's Python model server. With workers it forks, so a session is made on the first request:
one that exists before can't be pickled."""

import os

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from onnx_model import OUTPUTS, session_of


class OnnxModel(Model):
    def __init__(self, name: str):
        super().__init__(name)
        self.session = None
        self.ready = True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        if self.session is None:
            self.session = session_of(self.name)
        (output,) = self.session.run(None, {part.name: part.as_numpy() for part in payload.inputs})
        reply = InferOutput(OUTPUTS[self.name], list(output.shape), "FP32")
        reply.set_data_from_numpy(output, binary_data=False)
        return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=[reply])


if __name__ == "__main__":
    ModelServer(
        http_port=int(os.environ["PEER_PORT"]),
        workers=int(os.environ["PEER_WORKERS"]),
        enable_grpc=False,
        enable_latency_logging=False,
        access_log_format=None,
    ).start([OnnxModel(name) for name in OUTPUTS])
