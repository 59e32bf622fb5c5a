"""models/build import: a checkpoint to a package. One line of progress at a time goes to stdout."""

import argparse
import signal
import sys
from pathlib import Path

from .errors import ImportRefused
from .package import PRECISIONS, PROVIDERS, ImportOptions, import_model


def main() -> int:
    parser = argparse.ArgumentParser(prog="models/build import", description=__doc__)
    parser.add_argument("source", type=Path, help="folder of safetensors, or a .gguf file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the package; made, or empty")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="int4")
    parser.add_argument("--provider", choices=PROVIDERS, default="cpu", help="what it is to run on")
    parser.add_argument("--name", help="name of the AutoGLMModel; default: that of the folder or file")
    parser.add_argument("--context-length", type=int, help="default: the model's own")
    arguments = parser.parse_args()
    # As an exception, so that what is half written goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = ImportOptions(**{key: value for key, value in vars(arguments).items()})
    try:
        out = import_model(options, lambda line: print(line, flush=True))
    except ImportRefused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {out}", flush=True)
    return 0


sys.exit(main())
