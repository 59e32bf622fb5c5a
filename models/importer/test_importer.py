"""Every architecture, from every form of file, against NumPy. Run by `models/build test`."""

import contextlib
import json
import struct
import tempfile
import unittest
from pathlib import Path

import numpy as np

from . import random_checkpoint as made
from .checkpoint import open_checkpoint
from .errors import ImportRefused
from .package import ImportOptions, import_model, memory_bytes
from .quantize import quantize
from .reference import logits_of
from .weights import PackedWeights
from .writer import EXTERNAL

IDS = [5, 99, 12, 12, 250, 7, 301, 64, 65, 66, 200, 3, 9]


class Runner:
    """The graph of a package, one sequence at a time."""

    def __init__(self, folder: Path):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        self.config = json.loads((folder / "pipeline.json").read_text())

    def empty(self, rows: int = 1) -> dict[str, np.ndarray]:
        shape = (rows, self.config["kvHeads"], 0, self.config["headDim"])
        return {
            f"past_key_values.{layer}.{part}": np.zeros(shape, np.float32)
            for layer in range(self.config["layers"])
            for part in ("key", "value")
        }

    def run(self, ids, mask, picked, past) -> tuple[dict, dict]:
        names = [output.name for output in self.session.get_outputs()]
        feeds = {"input_ids": ids, "attention_mask": mask, "logits_at": picked}
        feeds = {name: np.array(value, np.int64) for name, value in feeds.items()}
        found = dict(zip(names, self.session.run(None, feeds | past)))
        return found, {name: found[name.replace("past_key_values", "present")] for name in past}

    def prefill(self, ids) -> np.ndarray:
        found, _ = self.run([ids], [[1] * len(ids)], [list(range(len(ids)))], self.empty())
        return found["logits"][0]

    def token_by_token(self, ids, first: int) -> np.ndarray:
        """The first tokens at once, then one at a time over the cache."""
        found, past = self.run([ids[:first]], [[1] * first], [list(range(first))], self.empty())
        rows = [found["logits"][0]]
        for at in range(first, len(ids)):
            found, past = self.run([[ids[at]]], [[1] * (at + 1)], [[0]], past)
            rows.append(found["logits"][0])
        return np.concatenate(rows)


class Importing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def convert(self, source: Path, precision: str = "fp32", **options) -> Path:
        out = self.folder / f"out-{precision}-{len(list(self.folder.iterdir()))}"
        return import_model(
            ImportOptions(
                source,
                out,
                precision,
                options.get("name"),
                options.get("context"),
                options.get("provider", "cpu"),
            )
        )

    def close(self, package: Path, expected: np.ndarray, tolerance: float) -> None:
        runner = Runner(package)
        for what, logits in (
            ("prefill", runner.prefill(IDS)),
            ("token by token", runner.token_by_token(IDS, 1)),
            ("over a prompt", runner.token_by_token(IDS, 7)),
        ):
            error = np.abs(logits - expected).max()
            self.assertLess(error, tolerance, f"{what}: {error}")


class Logits(Importing):
    def test_every_architecture_agrees_in_fp32(self):
        for name, config in made.CONFIGS.items():
            with self.subTest(name):
                tensors = made.tensors_of(config)
                made.write_folder(self.folder / name, config, tensors)
                self.close(self.convert(self.folder / name), logits_of(config, tensors, IDS), 1e-4)

    def test_half_precision_files_and_shards_are_read_as_they_are(self):
        for kind in ("BF16", "F16"):
            for name in ("glm-4-9b", "llama"):
                with self.subTest(f"{kind} {name}"):
                    config = made.CONFIGS[name]
                    tensors = made.tensors_of(config)
                    made.write_folder(self.folder / f"{kind}-{name}", config, tensors, kind, shards=3)
                    package = self.convert(self.folder / f"{kind}-{name}")
                    self.close(package, logits_of(config, made.to_type(tensors, kind), IDS), 1e-4)

    def test_attention_in_half_precision_agrees_but_for_its_rounding(self):
        for name, config in made.CONFIGS.items():
            with self.subTest(name):
                tensors = made.tensors_of(config)
                source = self.folder / f"half-{name}"
                made.write_folder(source, config, tensors)
                expected = logits_of(config, tensors, IDS)
                self.close(self.convert(source, provider="cuda"), expected, 1e-2)

    def test_quantized_graphs_agree_with_their_weights_dequantized(self):
        from . import weights

        for name, config in made.CONFIGS.items():
            tensors = made.tensors_of(config)
            source = self.folder / name
            made.write_folder(source, config, tensors)
            for precision, bits in (("int8", 8), ("int4", 4)):
                with self.subTest(f"{name} {precision}"):
                    expected = logits_of(config, dequantized(tensors, bits), IDS)
                    # fp32 activations: what is compared is where every weight went.
                    with changed(weights, ACCURACY_LEVEL=1):
                        self.close(self.convert(source, precision), expected, 1e-3)
                    # As shipped, with int8 activations, whose rounding adds up to a percent or two of the logits.
                    logits = Runner(self.convert(source, precision)).prefill(IDS)
                    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
                    self.assertLess(error, 0.03)

    def test_gguf_of_every_architecture_and_usual_type(self):
        for name, config in made.CONFIGS.items():
            if name == "llama-3":
                continue
            for kind, fused in (
                ("F32", False),
                ("F16", False),
                ("Q8_0", name.startswith("glm")),
                ("Q4_0", False),
                ("Q5_1", False),
            ):
                with self.subTest(f"{name} {kind}"):
                    tensors = made.tensors_of(config)
                    file = self.folder / f"{name}-{kind}.gguf"
                    made.write_gguf(file, config, tensors, kind, fused)
                    package = self.convert(file)
                    self.close(package, logits_of(config, gguf_values(tensors, config, kind), IDS), 1e-4)

    def test_gguf_blocks_of_k_types(self):
        """Random blocks as llama.cpp lays them out; what they mean is what the gguf package makes of them."""
        import gguf

        # Where the fp16 scales of a block of 256 are.
        for kind, scales in (("Q4_K", (0, 2)), ("Q5_K", (0, 2)), ("Q6_K", (208,))):
            with self.subTest(kind), changed(made, WIDTH=256, FEED=256):
                config = {**made.CONFIGS["glm-edge"], "hidden_size": 256, "intermediate_size": 256}
                config["num_attention_heads"], config["head_dim"] = 8, 32
                tensors, blocks = made.tensors_of(config), {}
                quantization = gguf.GGMLQuantizationType[kind]
                rng = np.random.default_rng(3)
                for name, place in zip(tensors, made.gguf_tensors(config, tensors, fused=False)):
                    if tensors[name].ndim == 1:
                        continue
                    shape = gguf.quant_shape_to_byte_shape(tensors[name].shape, quantization)
                    size = gguf.GGML_QUANT_SIZES[quantization][1]
                    raw = rng.integers(0, 256, (shape[0], shape[1] // size, size), np.uint8)
                    for at in scales:
                        raw[..., at : at + 2] = np.frombuffer(np.float16(1e-4).tobytes(), np.uint8)
                    blocks[place] = raw.reshape(shape)
                    tensors[name] = gguf.dequantize(blocks[place], quantization)
                file = self.folder / f"{kind}.gguf"
                made.write_gguf(file, config, tensors, kind, blocks=blocks)
                self.close(self.convert(file), logits_of(config, tensors, IDS), 1e-4)

    def test_rows_of_a_batch_give_what_each_gives_alone(self):
        config = made.CONFIGS["glm4-0414"]
        made.write_folder(self.folder / "source", config, made.tensors_of(config))
        runner = Runner(self.convert(self.folder / "source"))
        rows = [IDS[:4], IDS[2:11], IDS[5:6]]
        longest = max(map(len, rows))
        ids = [row + [0] * (longest - len(row)) for row in rows]
        masks = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        found, past = runner.run(ids, masks, [[len(row) - 1] for row in rows], runner.empty(3))
        masks = [[1] * (len(row) + 1) + [0] * (longest - len(row)) for row in rows]
        after, _ = runner.run([[17]] * 3, masks, [[0]] * 3, past)
        for row, whole in enumerate(rows):
            alone = runner.prefill([*whole, 17])
            np.testing.assert_allclose(found["logits"][row, 0], alone[-2], atol=1e-5)
            np.testing.assert_allclose(after["logits"][row, 0], alone[-1], atol=1e-5)
            exact = np.log(np.exp(alone[-1].astype(np.float64)).sum())
            np.testing.assert_allclose(after["log_normalizer"][row, 0, 0], exact, atol=1e-5)
        # What is new in the cache is what the cache holds at the row's last place.
        for row, whole in enumerate(rows):
            keys = after["present.1.key"][row, :, len(whole)]
            np.testing.assert_array_equal(after["appended"][2, row, :, 0], keys)

    def test_weights_beside_the_graph_are_the_same_weights(self):
        from . import package, writer

        config = made.CONFIGS["llama-3"]
        tensors = made.tensors_of(config)
        made.write_folder(self.folder / "source", config, tensors)
        with changed(package, _LARGEST_INLINE_BYTES=0), changed(writer, _LEAST_EXTERNAL_BYTES=1024):
            folder = self.convert(self.folder / "source")
        self.assertGreater((folder / EXTERNAL).stat().st_size, 50_000)
        self.close(folder, logits_of(config, tensors, IDS), 1e-4)


class Packages(Importing):
    def test_the_manifest_names_every_file_and_its_memory(self):
        import yaml

        config = made.CONFIGS["glm-edge"]
        made.write_folder(self.folder / "GLM_Edge 1.5B", config, made.tensors_of(config))
        package = self.convert(self.folder / "GLM_Edge 1.5B", "int4", context=128)
        manifest = yaml.safe_load((package / "model.yaml").read_text())
        self.assertEqual(manifest["metadata"]["name"], "glm-edge-1.5b")
        (variant,) = manifest["spec"]["variants"]
        self.assertEqual(variant["contextLength"], 128)
        names = {file["path"] for file in variant["files"]}
        self.assertEqual(names, {"model.onnx", "pipeline.json", "tokenizer.json", "tokenizer_config.json"})
        for file in variant["files"]:
            self.assertEqual(file["sizeBytes"], (package / file["path"]).stat().st_size)
        # Of config.json, and what a GLM's tokenizer has besides, once each.
        pipeline = json.loads((package / "pipeline.json").read_text())
        self.assertEqual(pipeline["eosTokenIds"], [257, 259, 262])
        self.assertFalse([path for path in self.folder.iterdir() if path.name.startswith(".import-")])

    def test_memory_grows_with_context_by_the_cache(self):
        config = made.CONFIGS["glm-edge"]
        made.write_folder(self.folder / "source", config, made.tensors_of(config))
        checkpoint = open_checkpoint(self.folder / "source")
        sizes = checkpoint.architecture
        # Layers × keys and values × kv heads × head width × float32.
        self.assertEqual(sizes.kv_bytes_per_token, 2 * 2 * 2 * 16 * 4)
        full = memory_bytes(checkpoint, 10**6, is_external=True)
        checkpoint.architecture = sizes.with_context(sizes.context // 2)
        half = memory_bytes(checkpoint, 10**6, is_external=True)
        self.assertGreater(full - half, sizes.kv_bytes_per_token * sizes.context // 2)

    def test_a_tokenizer_is_rebuilt_from_gguf(self):
        config = made.CONFIGS["glm-4-9b"]
        made.write_gguf(self.folder / "model.gguf", config, made.tensors_of(config), "F32")
        package = self.convert(self.folder / "model.gguf", "fp32")
        tokenizer = json.loads((package / "tokenizer.json").read_text())
        self.assertEqual([token["content"] for token in tokenizer["added_tokens"]], made.CONTROLS)
        settings = json.loads((package / "tokenizer_config.json").read_text())
        self.assertEqual(settings, {"eos_token": "<|endoftext|>", "chat_template": made.TEMPLATE})
        pipeline = json.loads((package / "pipeline.json").read_text())
        self.assertEqual(pipeline["eosTokenIds"], [257, 259, 262])

    def test_a_template_in_a_file_of_its_own_is_taken(self):
        config = made.CONFIGS["glm-edge"]
        made.write_folder(self.folder / "source", config, made.tensors_of(config))
        (self.folder / "source" / "chat_template.jinja").write_text("{{ messages }}")
        package = self.convert(self.folder / "source")
        settings = json.loads((package / "tokenizer_config.json").read_text())
        self.assertEqual(settings["chat_template"], "{{ messages }}")


class Refusals(Importing):
    def setUp(self):
        super().setUp()
        self.config = made.CONFIGS["glm-edge"]
        self.tensors = made.tensors_of(self.config)
        self.source = self.folder / "source"
        made.write_folder(self.source, self.config, self.tensors)

    def refuses(self, *words: str, precision: str = "fp32", **options) -> None:
        with self.assertRaises(ImportRefused) as caught:
            self.convert(self.source, precision, **options)
        for word in words:
            self.assertIn(word, str(caught.exception))
        self.assertFalse(
            [path for path in self.folder.iterdir() if path.name.startswith(("out", ".import-"))]
        )

    def rewrite(self, **changes) -> None:
        config = {**self.config, **changes}
        (self.source / "config.json").write_text(json.dumps(config))

    def test_an_unknown_architecture(self):
        self.rewrite(architectures=["Qwen2ForCausalLM"])
        self.refuses("config.json", "Qwen2ForCausalLM", "LlamaForCausalLM")
        self.rewrite(architectures=["ChatGLMModel"])
        self.refuses("ChatGLMModel", "-hf")

    def test_features_that_the_graph_has_not(self):
        self.rewrite(rope_scaling={"rope_type": "yarn", "factor": 4})
        self.refuses("config.json", "yarn")
        self.rewrite(hidden_act="gelu")
        self.refuses("hidden_act", "gelu")
        self.rewrite(quantization_config={"quant_method": "gptq"})
        self.refuses("config.json", "bf16 or fp16")

    def test_a_missing_key_or_file(self):
        self.rewrite(rms_norm_eps=None)
        self.refuses("config.json", "rms_norm_eps")
        (self.source / "config.json").unlink()
        self.refuses("config.json is missing")

    def test_a_missing_tensor(self):
        del self.tensors["model.layers.1.mlp.down_proj.weight"]
        made.write_folder(self.source, self.config, self.tensors)
        self.refuses(str(self.source), "model.layers.1.mlp.down_proj.weight", "fetch both again")

    def test_a_tensor_of_another_shape(self):
        self.tensors["model.layers.0.self_attn.k_proj.weight"] = np.zeros((16, 64), np.float32)
        made.write_folder(self.source, self.config, self.tensors)
        self.refuses("model.layers.0.self_attn.k_proj.weight", "[16, 64]", "[32, 64]")

    def test_a_tensor_that_the_graph_would_leave_out(self):
        self.tensors["model.layers.0.self_attn.q_norm.weight"] = np.zeros(16, np.float32)
        made.write_folder(self.source, self.config, self.tensors)
        self.refuses("model.layers.0.self_attn.q_norm.weight", "variant of the architecture")

    def test_a_missing_shard_and_a_file_that_is_cut_off(self):
        made.write_folder(self.source, self.config, self.tensors, shards=2)
        (self.source / "model-00002-of-00002.safetensors").unlink()
        self.refuses("model-00002-of-00002.safetensors", "missing")
        made.write_folder(self.source, self.config, self.tensors)
        (self.source / "model.safetensors.index.json").unlink()
        (self.source / "model-00001-of-00002.safetensors").unlink()
        file = self.source / "model.safetensors"
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        self.refuses("model.safetensors", "beyond the end")
        file.write_bytes(struct.pack("<Q", 10**9) + b"{}")
        self.refuses("model.safetensors", "cut off")

    def test_a_missing_tokenizer(self):
        (self.source / "tokenizer.json").unlink()
        self.refuses("tokenizer.json is missing", "repository")
        (self.source / "tokenizer.model").write_bytes(b"")
        self.refuses("tokenizer.model alone", "-hf")

    def test_a_tokenizer_of_another_model(self):
        tokenizer, _ = made.tokenizer()
        tokenizer["added_tokens"].append({"id": 5000, "content": "<x>"})
        (self.source / "tokenizer.json").write_text(json.dumps(tokenizer))
        self.refuses("id 5000", "320 rows")

    def test_widths_that_blocks_do_not_divide(self):
        self.rewrite(intermediate_size=80)
        for name in list(self.tensors):
            if "gate_up" in name:
                self.tensors[name] = self.tensors[name][:160]
            if "down" in name:
                self.tensors[name] = self.tensors[name][:, :80]
        made.write_safetensors(self.source / "model.safetensors", self.tensors, "F32")
        self.refuses("multiple of 32", "fp32", precision="int4")

    def test_a_name_or_a_context_that_can_not_be(self):
        self.refuses("--name", name="Über")
        self.refuses("--context-length", "256", context=512)

    def test_a_gguf_file_that_is_none(self):
        self.source = self.folder / "broken.gguf"
        self.source.write_bytes(b"GGUF")
        self.refuses("broken.gguf", "fetch it again")

    def test_a_folder_that_is_not_empty_stays_as_it_is(self):
        out = self.folder / "kept"
        out.mkdir()
        (out / "mine").write_text("x")
        with self.assertRaisesRegex(ImportRefused, "not empty"):
            import_model(ImportOptions(self.source, out, "fp32", None, None))
        self.assertEqual([path.name for path in out.iterdir()], ["mine"])


class Blocks(unittest.TestCase):
    def test_rounding_stays_within_half_a_level(self):
        weight = np.random.default_rng(1).normal(size=(7, 96)).astype(np.float32)
        weight[2, 32:64] = 0
        for bits, levels in ((8, 254), (4, 15)):
            packed = quantize(weight, bits)
            blocks = weight.reshape(7, 3, 32)
            span = np.maximum(blocks.max(-1), 0) - np.minimum(blocks.min(-1), 0)
            if bits == 8:
                span = 2 * np.abs(blocks).max(-1)
            # A rounded zero point shifts the ends by up to another half.
            limit = span / levels * (0.5 if bits == 8 else 1.0) + 1e-6
            self.assertTrue(
                (np.abs(packed.dequantized().reshape(7, 3, 32) - blocks) <= limit[..., None]).all()
            )
            self.assertTrue((packed.dequantized()[2, 32:64] == 0).all())

    def test_pieces_of_a_weight_are_the_weight(self):
        from . import weights

        config = made.CONFIGS["glm-4-9b"]
        with tempfile.TemporaryDirectory() as folder, changed(weights, _PIECE=64 * 50):
            made.write_folder(Path(folder), config, made.tensors_of(config))
            checkpoint = open_checkpoint(Path(folder))
            packed = PackedWeights(checkpoint, "int4")
            place = checkpoint.layout.weight("head")
            whole = quantize(checkpoint.rows(place), 4)
            np.testing.assert_array_equal(packed._quantized(place, 4).packed, whole.packed)
            np.testing.assert_array_equal(packed._quantized(place, 4).zero_point, whole.zero_point)


@contextlib.contextmanager
def changed(module, **values):
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def dequantized(tensors: dict[str, np.ndarray], bits: int) -> dict[str, np.ndarray]:
    def value_of(name: str, value: np.ndarray) -> np.ndarray:
        if value.ndim == 1:
            return value
        return quantize(
            value, 8 if name in ("model.embed_tokens.weight", "lm_head.weight") else bits
        ).dequantized()

    return {name: value_of(name, value) for name, value in tensors.items()}


def gguf_values(tensors: dict[str, np.ndarray], config: dict, kind: str) -> dict[str, np.ndarray]:
    """What a file of that type holds, under Hugging Face's names and in its order of rows."""
    import gguf

    quantization = gguf.GGMLQuantizationType[kind]

    def value_of(value: np.ndarray) -> np.ndarray:
        if value.ndim == 1:
            return value
        # Rows are quantised one by one: their order does not matter.
        return gguf.dequantize(gguf.quantize(value, quantization), quantization)

    return {name: value_of(value) for name, value in tensors.items()}


if __name__ == "__main__":
    unittest.main()
