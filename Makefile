# make          what there is to make
# make demo     the whole path on a small checkpoint, from a fresh machine

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build demo demo-real test lint format interop sanitize fuzz bench bench-convert bench-growth bench-kernels \
	clean distclean

BERTCONV := .build/release/bertconv
SOURCES := Sources Tests Package.swift Fuzz/Sources Fuzz/Package.swift
# The targets may import only what Package.swift says that they depend on.
LAYERS := --explicit-target-dependency-import-check error
# Where a machine keeps its own Python with the requirements: BERTCONV_PYTHON=/path/to/python make interop
PYTHON_ENV := TF_CPP_MIN_LOG_LEVEL=3 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 PYTHONWARNINGS=ignore PYTHONDONTWRITEBYTECODE=1
# What the benchmark of the kernels is built from.
C_TARGETS := CKernels CTensorIO COneDNN

DEMO := .build/demo
TINY := Tests/Fixtures/tensorflow/bert-tiny
TRAINED := $(DEMO)/minilm

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 23

deps: ## install the libraries that the build needs (apt)
	@Scripts/deps.sh

build: deps ## build the program: .build/release/bertconv
	swift build -c release

demo: build ## convert, inspect and verify a small checkpoint that TensorFlow wrote
	@rm -rf $(DEMO)/bert-tiny.safetensors && mkdir -p $(DEMO)
	@run() { printf '\n$$ %s\n' "$$*"; "$$@"; }; \
	run $(BERTCONV) inspect $(TINY); \
	run $(BERTCONV) convert tf-to-native $(TINY)/bert_model.ckpt -o $(DEMO)/bert-tiny.safetensors; \
	run $(BERTCONV) inspect $(DEMO)/bert-tiny.safetensors; \
	run $(BERTCONV) verify $(DEMO)/bert-tiny.safetensors --fixtures $(TINY)/reference.npz; \
	run $(BERTCONV) verify $(DEMO)/bert-tiny.safetensors --against $(TINY)/bert_model.ckpt

demo-real: build ## the same with all-MiniLM-L6-v2, a trained model (installs TensorFlow into .build-venv first)
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	rm -rf $(TRAINED) $(TRAINED).safetensors && mkdir -p $(DEMO); \
	run() { printf '\n$$ %s\n' "$$*"; "$$@"; }; \
	run "$$python" Scripts/make_demo_model.py $(TRAINED); \
	run $(BERTCONV) inspect $(TRAINED); \
	run $(BERTCONV) convert tf-to-native $(TRAINED)/bert_model.ckpt -o $(TRAINED).safetensors; \
	run $(BERTCONV) verify $(TRAINED).safetensors --fixtures $(TRAINED)/reference.npz

test: deps ## build and run the unit tests
	swift build $(LAYERS)
	swift test $(LAYERS)

lint: ## the formatter's strict check, and no work left for later
	swift format lint --strict -r $(SOURCES)
	@if grep -rnIE 'TODO|FIXME' $(SOURCES) Scripts Benchmarks; then echo 'lint: work left for later in the lines above' >&2; exit 1; fi

format: ## format all Swift in place
	swift format -i -r $(SOURCES)

interop: build ## the tests against real TensorFlow, torch and transformers (installs them into .build-venv first)
	@Scripts/deps.sh browser
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	BERTCONV=$${BERTCONV:-$(BERTCONV)} "$$python" -m unittest discover -s Tests/Interop -v

sanitize: deps ## the unit tests in builds that watch memory and threads
	Scripts/sanitize.sh

fuzz: deps ## fuzz each parser for ten seconds (SECONDS=60)
	Fuzz/run.sh -j 2 $(or $(SECONDS),10)

bench: build ## time the encoder beside other engines (those of Benchmarks/requirements.txt that are installed)
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	"$$python" Benchmarks/encode.py --bertconv $(BERTCONV) $(if $(CASES),--cases $(CASES)) $(if $(PEERS),--peers $(PEERS))

bench-convert: build ## time conversion beside a synced copy, and inspect and verify (ARGS='--size large')
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	"$$python" Benchmarks/convert.py --bertconv $(BERTCONV) $(ARGS)

bench-growth: build ## time the encoder as length, batch, layers and hidden size grow (ARGS=--quick)
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	"$$python" Benchmarks/growth.py --bertconv $(BERTCONV) $(ARGS)

# With the compiler and the options that the package is built with: clang is beside swift.
bench-kernels: deps ## time each kernel alone, on one thread (ARGS='--seconds 2 gelu')
	@toolchain=$$(swift -print-target-info | sed -nE 's|.*"runtimeResourcePath": "(.*)/lib/swift".*|\1|p'); \
	compiler=$$toolchain/bin/clang; [ -x "$$compiler" ] || compiler=cc; mkdir -p .build; \
	"$$compiler" -O2 -fno-omit-frame-pointer $(C_TARGETS:%=-ISources/%/include) Benchmarks/kernels.c \
	  $(wildcard $(C_TARGETS:%=Sources/%/*.c)) -o .build/bench-kernels -lm -ldl -lpthread; \
	.build/bench-kernels $(ARGS)

clean: ## remove what the build made
	rm -rf .build .build-address .build-thread Fuzz/.build

distclean: clean ## remove the Python environment too
	rm -rf .build-venv
