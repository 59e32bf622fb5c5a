"""BentoML with its adaptive batching, in its own form of JSON: the arguments of the method. The methods named
`single` answer request by request: batches of unequal lengths can't be put together by it."""

import bentoml
import numpy as np
from onnx_model import OUTPUTS, session_of


def text_feeds(ids: np.ndarray) -> dict[str, np.ndarray]:
    ids = ids.astype(np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


@bentoml.service(workers=1, traffic={"timeout": 30, "max_concurrency": 256}, logging={"access": {"enabled": False}})
class Peer:
    def __init__(self):
        self.sessions = {name: session_of(name) for name in OUTPUTS}

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def tiny(self, x: np.ndarray) -> np.ndarray:
        return self.sessions["tiny"].run(None, {"x": x.astype(np.float32)})[0]

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def minilm(self, ids: np.ndarray) -> np.ndarray:
        return self.sessions["minilm"].run(None, text_feeds(ids))[0]

    @bentoml.api
    def minilm_single(self, ids: np.ndarray) -> np.ndarray:
        return self.sessions["minilm"].run(None, text_feeds(ids))[0]
