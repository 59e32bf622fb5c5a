"""A folder of safetensors, or a GGUF file: the sizes of the model, and its weights a few rows at a time."""

import json
import re
from pathlib import Path

import numpy as np

from recipes import safetensors

from .architecture import Architecture, as_ids, from_config
from .errors import ImportRefused
from .gguf_metadata import from_gguf
from .layout import GGUF, HUGGING_FACE, Layout, Place

# Buffers that a model computes by itself.
_NO_WEIGHTS = re.compile(r"rotary_emb\.inv_freq$|^rope_freqs\.|attn_rot_embd")
_MOST_NAMED = 5


class Checkpoint:
    """What both kinds of files have in common. Reads nothing before it is asked."""

    architecture: Architecture
    layout: Layout
    fields: dict
    """For messages."""
    file: Path

    def names(self) -> frozenset[str]:
        raise NotImplementedError

    def shape_of(self, name: str) -> tuple[int, ...]:
        raise NotImplementedError

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` as float32."""
        raise NotImplementedError

    def rows(self, place: Place, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows of a weight, counted from its own first."""
        first = 0 if place.rows is None else place.rows[0]
        return self.read(place.name, first + start, first + (place.row_count if stop is None else stop))

    def check(self) -> None:
        """@raises ImportRefused for a tensor that is missing, has another shape, or that the graph has no place for"""
        wanted = {place.name: place.shape for place in self.layout.all()}
        found = self.names()
        missing = [name for name in wanted if name not in found]
        if missing:
            raise ImportRefused(
                f"{self.file}: {_some(missing)} missing; the download is incomplete, or config.json belongs to "
                "another checkpoint: fetch both again from the model's repository"
            )
        for name, shape in wanted.items():
            if self.shape_of(name) != shape:
                raise ImportRefused(
                    f"{self.file}: {name} has shape {list(self.shape_of(name))}, its sizes say {list(shape)}; "
                    "config.json or the metadata belongs to another checkpoint: fetch both again"
                )
        ignored = {self.layout.weight("head").name} if self.architecture.tied else set()
        unknown = sorted(name for name in found - wanted.keys() - ignored if not _NO_WEIGHTS.search(name))
        if unknown:
            raise ImportRefused(
                f"{self.file}: {_some(unknown)} of no use in {self.architecture.name}; "
                "this is a variant of the architecture that can't be imported"
            )


def _some(names: list[str]) -> str:
    named = ", ".join(names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{'tensor' if len(names) == 1 else 'tensors'} {named}{more} {'is' if len(names) == 1 else 'are'}"


_WEIGHT_TYPES = ("F32", "F16", "BF16")


class SafetensorsCheckpoint(Checkpoint):
    """config.json, and model.safetensors or the shards that its index names."""

    def __init__(self, folder: Path):
        self.file = folder
        self.config = read_json(folder / "config.json", "the model's repository has it beside the weights")
        self.architecture = from_config(self.config, str(folder / "config.json"))
        self._entries = {}
        for shard in self._shards(folder):
            self._read_header(shard)
        self.layout = Layout(self.architecture, HUGGING_FACE, fused_attention=False)
        self.fields = {}

    def end_tokens(self) -> tuple[int, ...]:
        generation = self.file / "generation_config.json"
        more = (
            as_ids(json.loads(generation.read_text("utf8")).get("eos_token_id"))
            if generation.exists()
            else ()
        )
        return tuple(dict.fromkeys((*more, *self.architecture.end_tokens)))

    @staticmethod
    def _shards(folder: Path) -> list[Path]:
        index = folder / "model.safetensors.index.json"
        if not index.exists():
            found = sorted(folder.glob("*.safetensors"))
            if len(found) == 1:
                return found
            other = next(iter(sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pth"))), None)
            if other is not None:
                raise ImportRefused(
                    f"{other}: only safetensors and GGUF are read; fetch model.safetensors instead"
                )
            raise ImportRefused(
                f"{folder}: there is no model.safetensors"
                + (
                    ", and no model.safetensors.index.json that tells how its parts belong together"
                    if found
                    else ""
                )
            )
        names = sorted(set(read_json(index, "fetch it again")["weight_map"].values()))
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise ImportRefused(f"{folder}: {', '.join(missing)} of {index.name} is missing; fetch it again")
        return [folder / name for name in names]

    def _read_header(self, shard: Path) -> None:
        size = shard.stat().st_size
        with shard.open("rb") as file:
            try:
                header = safetensors.read_header(file, size)
            except safetensors.CutOff:
                raise ImportRefused(
                    f"{shard}: it is cut off or no safetensors file; fetch it again"
                ) from None
        for name, entry in header.items():
            if entry.kind not in _WEIGHT_TYPES:
                raise ImportRefused(
                    f"{shard}: {name} is of type {entry.kind}; F32, F16 and BF16 can be imported: "
                    "take the checkpoint that is not quantised"
                )
            if entry.end > size:
                raise ImportRefused(f"{shard}: {name} lies beyond the end of the file; fetch it again")
            self._entries[name] = (shard, entry)

    def names(self) -> frozenset[str]:
        return frozenset(self._entries)

    def shape_of(self, name: str) -> tuple[int, ...]:
        return self._entries[name][1].shape

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        shard, entry = self._entries[name]
        kind, columns = safetensors.TYPES[entry.kind], entry.shape[1:]
        row = int(np.prod(columns, dtype=np.int64))
        offset = entry.first + start * row * kind.itemsize
        raw = np.fromfile(shard, kind, (stop - start) * row, offset=offset)
        if entry.kind == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32).reshape(stop - start, *columns)


class GgufCheckpoint(Checkpoint):
    tensors: dict
    """By name, quantised as they lie in the file."""

    def __init__(self, file: Path):
        from gguf import GGUFReader

        self.file = file
        try:
            reader = GGUFReader(file)
        except (ValueError, IndexError, KeyError) as error:
            raise ImportRefused(f"{file}: it is cut off or no GGUF file ({error}); fetch it again") from error
        self.fields = {key: field.contents() for key, field in reader.fields.items()}
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        if self.fields.get("split.count", 1) > 1:
            raise ImportRefused(
                f"{file}: it is one of several parts; join them with llama-gguf-split --merge"
            )
        self.architecture = from_gguf(self.fields, self.names(), str(file))
        self.layout = Layout(self.architecture, GGUF, "blk.0.attn_qkv.weight" in self.tensors)

    def end_tokens(self) -> tuple[int, ...]:
        return self.architecture.end_tokens

    def names(self) -> frozenset[str]:
        return frozenset(self.tensors)

    def shape_of(self, name: str) -> tuple[int, ...]:
        # The file counts the fastest dimension first.
        return tuple(int(size) for size in reversed(self.tensors[name].shape))

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        from gguf import dequantize

        tensor = self.tensors[name]
        try:
            return dequantize(np.array(tensor.data[start:stop]), tensor.tensor_type).astype(np.float32)
        except NotImplementedError as error:
            raise ImportRefused(
                f"{self.file}: {name} has the type {tensor.tensor_type.name}, which can't be read; "
                "take a file with Q4_K_M, Q8_0 or F16 weights"
            ) from error


def open_checkpoint(path: Path) -> Checkpoint:
    """@param path: a folder, or a GGUF file; @raises ImportRefused"""
    if path.is_file():
        if path.suffix == ".gguf":
            return GgufCheckpoint(path)
        raise ImportRefused(f"{path}: give the folder of the checkpoint, or a .gguf file")
    if not path.is_dir():
        raise ImportRefused(f"{path}: there is no such folder")
    files = sorted(path.glob("*.gguf"))
    if files and not (path / "config.json").exists():
        if len(files) > 1:
            raise ImportRefused(
                f"{path}: it holds {len(files)} GGUF files; give one of them, e.g. {files[0]}"
            )
        return GgufCheckpoint(files[0])
    return SafetensorsCheckpoint(path)


def read_json(file: Path, advice: str) -> dict:
    try:
        return json.loads(file.read_text("utf8"))
    except FileNotFoundError:
        raise ImportRefused(f"{file} is missing; {advice}") from None
    except json.JSONDecodeError as error:
        raise ImportRefused(f"{file}: it is no JSON ({error}); fetch it again") from error
