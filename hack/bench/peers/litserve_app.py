"""LitServe, request by request, or with PEER_BATCH in batches that are padded to the longest, as its docs show."""

import os

import litserve
import numpy as np
from onnx_model import OUTPUTS, arrays_of, reply_of, session_of


class OnnxApi(litserve.LitAPI):
    def __init__(self, model: str, **options):
        super().__init__(**options)
        self.model = model

    def setup(self, device):
        self.session = session_of(self.model)

    def decode_request(self, request):
        return arrays_of(request)

    def batch(self, inputs):
        longest = max(next(iter(feeds.values())).shape[1] for feeds in inputs)
        return {
            name: np.concatenate(
                [np.pad(feeds[name], ((0, 0), (0, longest - feeds[name].shape[1]))) for feeds in inputs]
            )
            for name in inputs[0]
        }

    def predict(self, feeds):
        return self.session.run(None, feeds)[0]

    def unbatch(self, output):
        return [output[row : row + 1] for row in range(len(output))]

    def encode_response(self, output):
        return reply_of(self.model, output)


if __name__ == "__main__":
    batch = int(os.environ["PEER_BATCH"])
    options = {"max_batch_size": batch, "batch_timeout": 0.002} if batch > 1 else {}
    litserve.LitServer(
        [OnnxApi(model, api_path=f"/v2/models/{model}/infer", **options) for model in OUTPUTS],
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=True,
    ).run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        log_level="warning",
        generate_client_file=False,
        num_api_servers=1,
    )
