"""Images of text whose text is known: what OCR is measured on. Rendered, not photographed.

Each image has one to five lines in one font, size, pair of colours, skew, blur, noise and file format, all drawn from a
seed. Texts: Chinese reviews and news of examples/data, English sentences of the en-ner vectors, and made-up numbers.
Images of the `dev` split have other texts than those of `test`, and only the first font of each list: thresholds
are chosen on them.
"""

import csv
import hashlib
import io
import json
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np

from .cache import CACHE, DOWNLOADS, MODELS, RecipeError
from .json_files import write_json

FOLDER = CACHE / "ocr-images"
# Fonts under the Open Font License, by npm package: the digest of its archive, and the files that are used.
FONTS = {
    "@expo-google-fonts/noto-sans-sc@0.4.3": ("f6b0307454c51db3bfbba0acd208f68d96d6ef84c62226853509d7607dace700"
        "356f3564c1b6af88be2df18515eb8d9e1988e0f3a787e8390011099f3470e771", ["400Regular/NotoSansSC_400Regular", "700Bold/NotoSansSC_700Bold"]),
    "@expo-google-fonts/noto-serif-sc@0.4.3": ("7d2994a62485b527b21d5e39ff6c543b2e5275f131925430c0c28dddc4230190"
        "2e8c84c70e649ba4c1c255d08c851a8c8d0b6ed19460736f6ef00f825376a47f", ["400Regular/NotoSerifSC_400Regular"]),
    "@expo-google-fonts/zcool-xiaowei@0.4.1": ("52c84586949666af6186e96d895dc8c2ac918a6290109775c820814c1085f205"
        "3907938c10c5c525c695772e03d630f9477d10bd39e6846380f78d75ea6a90d6", ["400Regular/ZCOOLXiaoWei_400Regular"]),
    "@expo-google-fonts/open-sans@0.4.2": ("82f84fa8b5d89e5b56825977881c11194c1fe723761c28789a042616843ca14e"
        "ba2d3b36de85f837b4f7b74043b0a7cfff567c17cfb873bc12900d7536793890", ["400Regular/OpenSans_400Regular"]),
    "@expo-google-fonts/lora@0.4.2": ("067a1f8769883942a9e0a512e3c56368182e83895039cc3f7ed534345bf938fb"
        "62bad2f8db6fff1b5bfadf10d910c5042fa7ede1f8b9abde3fb8a7290e36cf6a", ["400Regular/Lora_400Regular"]),
    "@expo-google-fonts/courier-prime@0.4.1": ("f7631bd908bbd32bcbe17a80f15cccf90fee145c55ba56573d4e563533de0f3a"
        "353f5abafdb093b19cc4d419df858c1cb29f8f9ab074525ab713ace6652ac8ea", ["400Regular/CourierPrime_400Regular"]),
}
_CHINESE = ["NotoSansSC_400Regular", "NotoSansSC_700Bold", "NotoSerifSC_400Regular", "ZCOOLXiaoWei_400Regular"]
_LATIN = ["OpenSans_400Regular", "Lora_400Regular", "CourierPrime_400Regular"]
KINDS = {"zh": _CHINESE, "en": _LATIN, "digits": [*_LATIN, *_CHINESE]}
COUNTS = {"dev": {"zh": 20, "en": 20, "digits": 10}, "test": {"zh": 80, "en": 80, "digits": 40}}
SEEDS = {"dev": 1, "test": 2}


def fetch_fonts() -> dict[str, Path]:
    """The font files by their names; npm downloads, the digests are checked here."""
    found = {}
    for package, (digest, files) in FONTS.items():
        name = package.lstrip("@").replace("/", "-").replace("@", "-") + ".tgz"
        archive = DOWNLOADS / name
        if not archive.exists():
            npm = shutil.which("npm")
            if npm is None:
                raise RecipeError("the fonts come from npm, which is not in PATH: run hack/run models/build images")
            subprocess.run([npm, "pack", "--silent", package], cwd=DOWNLOADS, check=True, capture_output=True)
        if hashlib.sha512(archive.read_bytes()).hexdigest() != digest:
            raise RecipeError(f"{archive} is not what the recipe pins: delete it and run again")
        with tarfile.open(archive) as content:
            for file in files:
                target = DOWNLOADS / "fonts" / f"{Path(file).name}.ttf"
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.extractfile(f"package/{file}.ttf").read())
                found[Path(file).name] = target
    return found


def _texts() -> dict[str, list[str]]:
    examples = MODELS.parent / "examples" / "data"
    with (examples / "reviews.csv").open(encoding="utf8", newline="") as file:
        chinese = [row["review"] for row in csv.DictReader(file)]
    news = (examples / "news.jsonl").read_text(encoding="utf8").splitlines()
    vectors = json.loads((MODELS / "en-ner" / "vectors.json").read_text(encoding="utf8"))
    english = [case["text"].strip() for case in vectors["cases"][:200]]
    return {"zh": chinese + [json.loads(line)["text"] for line in news], "en": english}


def _is_printable(text: str, font) -> bool:
    """Whether the font has every character: what it lacks is drawn as the same box."""
    missing = font.getmask("\U0010ffff").getbbox(), bytes(font.getmask("\U0010ffff"))
    return all(
        character == " " or (font.getmask(character).getbbox(), bytes(font.getmask(character))) != missing
        for character in set(text)
    )


def _chunks(text: str, size: int) -> list[str]:
    """Pieces of about `size` characters; between words where there are spaces."""
    if " " not in text.strip():
        return [text[at : at + size] for at in range(0, len(text), size)]
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) >= size:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def _digits(rng: random.Random) -> list[str]:
    makers = [
        lambda: f"No. {rng.randrange(10**9, 10**10)}",
        lambda: f"20{rng.randrange(10, 40)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        lambda: f"{rng.randrange(1, 10**6):,}.{rng.randrange(100):02}",
        lambda: f"{rng.randrange(100, 1000)}-{rng.randrange(1000, 10000)}-{rng.randrange(1000, 10000)}",
        lambda: f"{rng.uniform(-40, 120):.1f}%",
        lambda: f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}",
    ]
    return [rng.choice(makers)() for _ in range(rng.randrange(1, 6))]


def _lines(kind: str, texts: list[str], rng: random.Random) -> list[str]:
    if kind == "digits":
        return _digits(rng)
    size = rng.randrange(8, 25) if kind == "zh" else rng.randrange(20, 56)
    lines = [line.strip() for line in _chunks(rng.choice(texts), size)]
    return [line for line in lines if line][: rng.randrange(1, 6)]


def _draw(lines: list[str], font, rng: random.Random):
    from PIL import Image, ImageDraw, ImageFilter

    dark = tuple(rng.randrange(0, 90) for _ in range(3))
    light = tuple(rng.randrange(190, 256) for _ in range(3))
    ink, paper = (light, dark) if rng.random() < 0.2 else (dark, light)
    gap, margin = round(font.size * rng.uniform(0.35, 0.9)), round(font.size * rng.uniform(0.6, 2))
    boxes = [font.getbbox(line) for line in lines]
    width = max(box[2] for box in boxes) + 2 * margin
    height = sum(font.size for _ in lines) + gap * (len(lines) - 1) + 2 * margin
    image = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        pen.text((margin, margin + row * (font.size + gap)), line, font=font, fill=ink)
    skew = rng.choice([0, 0, rng.uniform(-1.5, 1.5), rng.uniform(-5, 5)])
    image = image.rotate(skew, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=paper)
    blur = rng.choice([0, 0, rng.uniform(0.3, 0.9)])
    image = image.filter(ImageFilter.GaussianBlur(blur)) if blur else image
    noise = rng.choice([0, 0, rng.uniform(3, 14)])
    if noise:
        grain = np.random.default_rng(rng.randrange(2**32)).normal(0, noise, (image.height, image.width, 1))
        image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
    return image, {"skew": round(skew, 2), "blur": round(blur, 2), "noise": round(noise, 1), "size": font.size}


def _encode(image, rng: random.Random) -> tuple[str, bytes]:
    kind, options = rng.choice(
        [("png", {}), ("jpeg", {"quality": rng.randrange(55, 96)}), ("webp", {"quality": rng.randrange(60, 96)})]
    )
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return kind, buffer.getvalue()


def render(split: str, folder: Path) -> None:
    """Writes the images of a split and truth.json: file, kind, lines, and how it was drawn."""
    from PIL import ImageFont

    fonts = fetch_fonts()
    rng = random.Random(SEEDS[split])
    texts = {kind: [t for at, t in enumerate(all_) if (at % 4 == 0) == (split == "dev")] for kind, all_ in _texts().items()}
    folder.mkdir(parents=True, exist_ok=True)
    truth = []
    for kind, count in COUNTS[split].items():
        names = KINDS[kind][:1] if split == "dev" else KINDS[kind]
        while sum(entry["kind"] == kind for entry in truth) < count:
            name = rng.choice(names)
            font = ImageFont.truetype(str(fonts[name]), rng.randrange(16, 49))
            lines = _lines(kind, texts.get(kind, []), rng)
            if not _is_printable("".join(lines), font):
                continue
            image, drawn = _draw(lines, font, rng)
            form, content = _encode(image, rng)
            file = f"{kind}-{len(truth):03}.{form}"
            (folder / file).write_bytes(content)
            truth.append({"file": file, "kind": kind, "lines": lines, "font": name, **drawn})
    write_json(truth, folder / "truth.json", indent=1)


def write() -> None:
    for split in COUNTS:
        shutil.rmtree(FOLDER / split, ignore_errors=True)
        render(split, FOLDER / split)
        print(f"  {FOLDER / split}: {sum(COUNTS[split].values())} images")
