# make          lists the targets
# make demo     converts, inspects and verifies a small checkpoint; works on a new machine
# make check    builds, runs the unit tests but for the longest, and lints: the fast loop for development
# make install  installs the program, its completions and manual pages below PREFIX (/usr/local)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build stage install uninstall check-install demo demo-real check test lint index format interop examples docs \
	sanitize fuzz bench bench-convert bench-growth bench-kernels clean distclean

BERTCONV := .build/release/bertconv
SOURCES := Sources Tests Package.swift Fuzz/Sources Fuzz/Package.swift Examples
# Makes an import an error where Package.swift does not list it as a dependency of the target.
LAYERS := --explicit-target-dependency-import-check error
# To use a Python that has the requirements already: BERTCONV_PYTHON=/path/to/python make interop
PYTHON_ENV := TF_CPP_MIN_LOG_LEVEL=3 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 PYTHONWARNINGS=ignore PYTHONDONTWRITEBYTECODE=1
# The C targets that the benchmark of the kernels is built from.
C_TARGETS := CKernels CProducts CTensorIO COneDNN

# The Swift runtime is linked statically, so that the program is one file.
RELEASE := swift build -c release --static-swift-stdlib
PREFIX ?= /usr/local
DESTDIR ?=
STAGE := .build/stage
# Where shells look for completions and `man` looks for pages, below PREFIX.
BASH_COMPLETIONS := share/bash-completion/completions
ZSH_COMPLETIONS := share/zsh/site-functions
FISH_COMPLETIONS := share/fish/vendor_completions.d
MANUAL := share/man/man1

DEMO := .build/demo
TINY := Tests/Fixtures/tensorflow/bert-tiny
TRAINED := $(DEMO)/minilm

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 23

deps: ## install the libraries that the build needs (apt)
	@Scripts/deps.sh

build: deps ## build the program: .build/release/bertconv
	$(RELEASE) --product bertconv

# The manual pages have the date of the last commit, so that the same sources give the same pages.
stage: build ## collect the files that `make install` copies, in .build/stage
	$(RELEASE) --product generate-manual
	@rm -rf $(STAGE)
	@mkdir -p $(addprefix $(STAGE)/,bin $(BASH_COMPLETIONS) $(ZSH_COMPLETIONS) $(FISH_COMPLETIONS) $(MANUAL))
	@strip -o $(STAGE)/bin/bertconv $(BERTCONV) || cp $(BERTCONV) $(STAGE)/bin/bertconv
	@$(BERTCONV) --generate-completion-script bash >$(STAGE)/$(BASH_COMPLETIONS)/bertconv
	@$(BERTCONV) --generate-completion-script zsh >$(STAGE)/$(ZSH_COMPLETIONS)/_bertconv
	@$(BERTCONV) --generate-completion-script fish >$(STAGE)/$(FISH_COMPLETIONS)/bertconv.fish
	@date=$$(git log -1 --format=%cs 2>/dev/null || date -r README.md +%F); \
	Scripts/man_pages.sh .build/release/generate-manual $(BERTCONV) "$$date" $(STAGE)/$(MANUAL)

# Root rarely has Swift on its PATH: `make stage && sudo make install` copies the staged files.
install: $(if $(shell command -v swift),stage) ## install the program, its completions and manual pages (PREFIX, DESTDIR)
	@[ -d $(STAGE) ] || { echo 'install: nothing is staged; run "make stage" as a user that has swift on the PATH' >&2; exit 1; }
	@cd $(STAGE) && find . -type f | while read -r file; do \
	  mode=644; [ "$${file#./bin/}" = "$$file" ] || mode=755; \
	  install -D -m $$mode "$$file" "$(DESTDIR)$(PREFIX)/$$file"; \
	done
	@echo "installed in $(DESTDIR)$(PREFIX)"

uninstall: ## remove the files that `make install` installed below PREFIX
	@cd "$(DESTDIR)$(PREFIX)" && rm -f bin/bertconv $(BASH_COMPLETIONS)/bertconv $(ZSH_COMPLETIONS)/_bertconv \
	  $(FISH_COMPLETIONS)/bertconv.fish $(MANUAL)/bertconv.1 $(MANUAL)/bertconv-{convert,diff,inspect,run,tokenize,verify}.1

check-install: ## install into an empty folder, try the program, its completions and manual pages, and uninstall
	@Tests/install.sh

demo: build ## convert, inspect and verify a small checkpoint that TensorFlow wrote
	@rm -rf $(DEMO)/bert-tiny.safetensors && mkdir -p $(DEMO)
	@run() { printf '\n$$ %s\n' "$$*"; "$$@"; }; \
	run $(BERTCONV) inspect $(TINY); \
	run $(BERTCONV) convert tf-to-native $(TINY)/bert_model.ckpt -o $(DEMO)/bert-tiny.safetensors; \
	run $(BERTCONV) inspect $(DEMO)/bert-tiny.safetensors; \
	run $(BERTCONV) verify $(DEMO)/bert-tiny.safetensors --fixtures $(TINY)/reference.npz; \
	run $(BERTCONV) verify $(DEMO)/bert-tiny.safetensors --against $(TINY)/bert_model.ckpt

demo-real: build ## the demo with a trained model, all-MiniLM-L6-v2 (first installs TensorFlow into .build-venv)
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	rm -rf $(TRAINED) $(TRAINED).safetensors && mkdir -p $(DEMO); \
	run() { printf '\n$$ %s\n' "$$*"; "$$@"; }; \
	run "$$python" Scripts/make_demo_model.py $(TRAINED); \
	run $(BERTCONV) inspect $(TRAINED); \
	run $(BERTCONV) convert tf-to-native $(TRAINED)/bert_model.ckpt -o $(TRAINED).safetensors; \
	run $(BERTCONV) verify $(TRAINED).safetensors --fixtures $(TRAINED)/reference.npz

# The tests that try every byte of a file, or every fixture, are skipped and reported as skipped: `make test` runs them.
check: deps ## build, run the unit tests but for the longest, lint, and build the reference (three minutes on two cores)
	swift build --build-tests $(LAYERS)
	BERTCONV_QUICK=1 swift test --skip-build
	@$(MAKE) --no-print-directory lint docs

test: deps ## build, and run all unit tests
	swift build $(LAYERS)
	swift test $(LAYERS)

lint: ## check the format, the comments that unsafe code needs, and that no work is marked as left to do
	swift format lint --strict -r $(SOURCES)
	@Scripts/check_unsafe.sh
	@if grep -rnIE 'TODO|FIXME' $(SOURCES) Scripts Benchmarks; then echo 'lint: the lines above mark work as left to do' >&2; exit 1; fi

# The next build takes the new index into the program.
index: deps ## write the index of families and dialects anew, after a change of their files, or of the code that reads them
	BERTCONV_RECORD=1 swift test --filter TableIndexTests/theIndex

format: ## format all Swift files in place
	swift format -i -r $(SOURCES)

interop: build ## run the tests against TensorFlow, torch and transformers (first installs them into .build-venv)
	@Scripts/deps.sh browser
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	BERTCONV=$${BERTCONV:-$(BERTCONV)} "$$python" Tests/Interop/run.py

# Tests/Interop/test_examples.py runs the Python example.
examples: build ## build and run the example package that uses the libraries
	swift build --package-path Examples/HiddenStates --scratch-path .build/examples
	@mkdir -p $(DEMO) && $(BERTCONV) convert tf-to-native $(TINY) -o $(DEMO)/examples.safetensors --force
	.build/examples/debug/HiddenStates $(DEMO)/examples.safetensors 2 22 23 3 , 2 40 3 >$(DEMO)/states.txt
	@diff Examples/HiddenStates/expected.txt $(DEMO)/states.txt && cat $(DEMO)/states.txt

docs: deps ## build the reference of the libraries in .build/docs, with the docc of the toolchain
	@Scripts/build_docs.sh

sanitize: deps ## run the unit tests with the address sanitizer and the thread sanitizer
	Scripts/sanitize.sh

fuzz: deps ## fuzz each parser for ten seconds, or FUZZ_SECONDS=60
	Fuzz/run.sh -j 2 $(or $(FUZZ_SECONDS),10)

bench: build ## compare the speed of the encoder with other engines (those of Benchmarks/requirements.txt that are installed)
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	"$$python" Benchmarks/encode.py --bertconv $(BERTCONV) $(if $(CASES),--cases $(CASES)) $(if $(PEERS),--peers $(PEERS))

bench-convert: build ## compare the speed of conversion with a synced copy; also time inspect and verify (ARGS='--size large')
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	"$$python" Benchmarks/convert.py --bertconv $(BERTCONV) $(ARGS)

bench-growth: build ## time the encoder with growing length, batch, layers and hidden size (ARGS=--quick)
	@python=$$(Scripts/venv.sh); export $(PYTHON_ENV); \
	"$$python" Benchmarks/growth.py --bertconv $(BERTCONV) $(ARGS)

# Uses the compiler and the options of the package: clang is in the same folder as swift.
bench-kernels: deps ## time each kernel alone, on one thread (ARGS='--seconds 2 gelu')
	@toolchain=$$(swift -print-target-info | sed -nE 's|.*"runtimeResourcePath": "(.*)/lib/swift".*|\1|p'); \
	compiler=$$toolchain/bin/clang; [ -x "$$compiler" ] || compiler=cc; mkdir -p .build; \
	"$$compiler" -O2 -fno-omit-frame-pointer $(C_TARGETS:%=-ISources/%/include) Benchmarks/kernels.c \
	  $(wildcard $(C_TARGETS:%=Sources/%/*.c)) -o .build/bench-kernels -lm -ldl -lpthread; \
	.build/bench-kernels $(ARGS)

clean: ## remove everything that was built
	rm -rf .build .build-address .build-thread Fuzz/.build

distclean: clean ## also remove the Python environment
	rm -rf .build-venv
