"""A custom runtime of MLServer; batching is MLServer's own, by `max_batch_size` of the model's settings."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_model import OUTPUTS, session_of


class OnnxRuntime(MLModel):
    async def load(self) -> bool:
        self.session = session_of(self.name)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feeds = {part.name: NumpyCodec.decode_input(part) for part in payload.inputs}
        (output,) = self.session.run(None, feeds)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(OUTPUTS[self.name], output)]
        )
