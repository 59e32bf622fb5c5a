"""Which sample models belong together. Free of dependencies: models/build reads it before there is a venv."""

# What `make demo` runs; everything else in the catalogue is built by `models/build all`.
DEMO = ("zh-sentiment", "zh-ner", "smollm2-135m-instruct")
