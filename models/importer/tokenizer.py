"""tokenizer.json and tokenizer_config.json of the package: from the checkpoint's folder, or rebuilt from GGUF metadata."""

from pathlib import Path

from .checkpoint import Checkpoint, GgufCheckpoint, read_json
from .errors import ImportRefused

# Kinds of tokens in GGUF: llama.cpp's llama_token_type.
_CONTROL, _USER_DEFINED = 3, 4
_LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = "gpt2"
_DIGITS = "digits"
# How text is cut before byte pairs are merged, by `tokenizer.ggml.pre`: llama.cpp's src/llama-vocab.cpp.
_PRE_TOKENIZERS = {
    "chatglm-bpe": _LLAMA3,
    "glm4": _LLAMA3,
    "llama-bpe": _LLAMA3,
    "gpt-2": _GPT2,
    "smollm": _DIGITS,
}
_ADVICE = (
    "fetch tokenizer.json and tokenizer_config.json of the model's repository and put them beside the {where}"
)


def tokenizer_files(checkpoint: Checkpoint) -> dict[str, dict]:
    """@raises ImportRefused naming the file that is missing and where to get it"""
    folder = checkpoint.file if checkpoint.file.is_dir() else checkpoint.file.parent
    if (folder / "tokenizer.json").exists():
        return _from_folder(folder)
    if isinstance(checkpoint, GgufCheckpoint):
        return _from_gguf(checkpoint)
    advice = _ADVICE.format(where="weights")
    if (folder / "tokenizer.model").exists():
        raise ImportRefused(
            f"{folder}: tokenizer.model alone can't be read; {advice} (for GLM-4 the repository whose name ends "
            "in -hf has them)"
        )
    raise ImportRefused(f"{folder / 'tokenizer.json'} is missing; {advice}")


def _from_folder(folder: Path) -> dict[str, dict]:
    tokenizer = read_json(folder / "tokenizer.json", "")
    file = folder / "tokenizer_config.json"
    config = read_json(file, "the model's repository has it beside tokenizer.json")
    kept = {key: config[key] for key in ("bos_token", "eos_token", "chat_template") if config.get(key)}
    # Newer checkpoints have the template in a file of its own.
    template = folder / "chat_template.jinja"
    if template.exists():
        kept["chat_template"] = template.read_text("utf8")
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": kept}


def _from_gguf(checkpoint: GgufCheckpoint) -> dict[str, dict]:
    fields, config = checkpoint.fields, {}
    tokenizer = tokenizer_of_gguf(fields, checkpoint.file)
    for key, field in (("bos_token", "bos_token_id"), ("eos_token", "eos_token_id")):
        index = fields.get(f"tokenizer.ggml.{field}")
        if index is not None:
            config[key] = fields["tokenizer.ggml.tokens"][index]
    if fields.get("tokenizer.chat_template"):
        config["chat_template"] = fields["tokenizer.chat_template"]
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": config}


def tokenizer_of_gguf(fields: dict, file: Path) -> dict:
    """tokenizer.json of Hugging Face's tokenizers. @raises ImportRefused when the metadata do not say all of it"""
    model, pre = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    advice = _ADVICE.format(where="GGUF file")
    if model != "gpt2" or pre not in _PRE_TOKENIZERS:
        raise ImportRefused(
            f"{file}: its tokenizer ({model}, {pre}) can't be rebuilt from the metadata; {advice}"
        )
    missing = [key for key in ("tokens", "token_type", "merges") if f"tokenizer.ggml.{key}" not in fields]
    if missing:
        raise ImportRefused(f"{file}: tokenizer.ggml.{missing[0]} is missing; {advice}")
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kinds[index] == _CONTROL,
        }
        for index, token in enumerate(tokens)
        if kinds[index] in (_CONTROL, _USER_DEFINED)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(_PRE_TOKENIZERS[pre]),
        "post_processor": None,
        "decoder": _byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            # A word that is a token itself needs no merges.
            "ignore_merges": pre == "llama-bpe",
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }


def _pre_tokenizer(kind: str) -> dict:
    if kind == _GPT2:
        return _byte_level(use_regex=True)
    if kind == _DIGITS:
        first, last = {"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)
    else:
        first = {"type": "Split", "pattern": {"Regex": kind}, "behavior": "Isolated", "invert": False}
        last = _byte_level(use_regex=False)
    return {"type": "Sequence", "pretokenizers": [first, last]}


def _byte_level(use_regex: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


_GLM_ENDS = ("<|endoftext|>", "<|user|>", "<|observation|>")


def end_tokens(checkpoint: Checkpoint, files: dict[str, dict]) -> list[int]:
    """Of the checkpoint's configuration and of its tokenizer together. @raises ImportRefused when there is none"""
    found = list(checkpoint.end_tokens())
    name = files["tokenizer_config.json"].get("eos_token")
    name = name.get("content") if isinstance(name, dict) else name
    added = {token["content"]: token["id"] for token in files["tokenizer.json"].get("added_tokens", [])}
    # GGUF names one or two; a GLM ends its turn by beginning another's.
    turns = _GLM_ENDS if checkpoint.architecture.name.startswith("Glm") else ()
    found += [added[token] for token in (name, *turns) if token in added]
    if not found:
        raise ImportRefused(
            f"{checkpoint.file}: no end token is named, so an answer would never end; "
            "add eos_token_id to generation_config.json"
        )
    return list(dict.fromkeys(found))


def check_vocabulary(checkpoint: Checkpoint, files: dict[str, dict]) -> None:
    """@raises ImportRefused for a tokenizer with ids that the weights have no row for"""
    tokenizer = files["tokenizer.json"]
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
    largest = max([*ids, *(token["id"] for token in tokenizer.get("added_tokens", []))], default=-1)
    if largest >= checkpoint.architecture.vocabulary:
        raise ImportRefused(
            f"{checkpoint.file}: tokenizer.json goes up to id {largest}, the weights have "
            f"{checkpoint.architecture.vocabulary} rows; it belongs to another model"
        )
