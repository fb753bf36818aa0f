# The inner loop. `make build` compiles the core beside its sources, only what changed; `make test` runs the suite on it.
PYTHON ?= python
PYTEST_ARGS ?= -q -n auto
cmake_modules = $(shell $(PYTHON) -c 'import cython_cmake, pathlib; print(pathlib.Path(cython_cmake.__file__).parent / "cmake")')
executable = $(shell $(PYTHON) -c 'import sys; print(sys.executable)')

.PHONY: build test nightly sanitize ring-tsan fuzz stubs dist bench bench-table status kill-drill reproducible proof syscalls powercuts real-faults faults mutants reliability soak derby
build:
	@test -f build/inplace/build.ninja || cmake -G Ninja -S src/pyrt/_core -B build/inplace -DPYRT_INPLACE=ON \
	  -DPython_EXECUTABLE="$(executable)" -DCMAKE_MODULE_PATH="$(cmake_modules)" -DCMAKE_PREFIX_PATH="$(cmake_modules)" >/dev/null
	@cmake --build build/inplace

test: build
	PYTHONPATH=src $(PYTHON) -m pytest $(PYTEST_ARGS) tests

# Longer than CI's budget: millions of random operations, hundreds of kills and power cuts. PYRT_SEEDS and PYRT_KILLS size the longest;
# of crash points it has some 80,000. The target of a million crash points without a violation is `make proof`.
nightly: build
	PYTHONPATH=src PYRT_HYPOTHESIS=nightly $(PYTHON) -m pytest $(PYTEST_ARGS) -m nightly tests --timeout 3600

# The core and what stands on it under the address and undefined-behaviour sanitizers, as a checked build with its own copy of the
# package (-s: pytest's capture swallows a sanitizer's report). An editable install would win over the copy: the first line refuses it.
SANITIZED ?= tests/core tests/market tests/library tests/fuzz tests/strategies tests/test_fast_lane.py tests/live/test_inbox.py
HALT ?= 1
sanitized = LD_PRELOAD="$$(gcc -print-file-name=libasan.so):$$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
  UBSAN_OPTIONS=halt_on_error=$(HALT):print_stacktrace=1 PYTHONPATH=build/sanitized
sanitize:
	cmake -G Ninja -S src/pyrt/_core -B build/sanitize -DPYRT_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug \
	  -DPython_EXECUTABLE="$(executable)" -DCMAKE_MODULE_PATH="$(cmake_modules)" -DCMAKE_PREFIX_PATH="$(cmake_modules)" >/dev/null
	@cmake --build build/sanitize
	@rm -rf build/sanitized && mkdir -p build/sanitized && cp -r src/pyrt build/sanitized/ && rm -f build/sanitized/pyrt/_core/*.so
	@cmake --install build/sanitize --prefix build/sanitized >/dev/null
	@PYTHONPATH=build/sanitized $(PYTHON) -c "import sys, pyrt; sys.exit('pyrt of ' + pyrt.__file__ if 'sanitized' not in pyrt.__file__ else 0)"
	$(sanitized) $(PYTHON) -m pytest -q -s -p no:benchmark -p no:cacheprovider --timeout 1800 $(SANITIZED)
	$(sanitized) $(PYTHON) -m tests.fuzz --seconds $(PYRT_FUZZ)

# Mutations of tests/fuzz/corpus into the decoder, the inbox, the ITCH books and the ring's reader, PYRT_FUZZ (20) seconds each; what
# breaks one is kept there. `make sanitize` does it too, under the sanitizers.
PYRT_FUZZ ?= 20
fuzz: build
	PYTHONPATH=src $(PYTHON) -m tests.fuzz --seconds $(PYRT_FUZZ)

# One writer and two readers of the ring as threads under the thread sanitizer, PYRT_TSAN (60) seconds.
PYRT_TSAN ?= 60
ring-tsan:
	@mkdir -p build
	$(CC) -std=gnu17 -O2 -g -Wall -Wextra -fsanitize=thread -Wno-tsan -Isrc/pyrt/_core/include -o build/ring-tsan tests/core/ring/drill.c -lpthread
	build/ring-tsan threads $(PYRT_TSAN)

# The stubs say what the compiled modules are; runs on whatever pyrt the interpreter imports.
stubs:
	$(PYTHON) -m mypy.stubtest --allowlist tests/house/stubs_allowed.txt --ignore-unused-allowlist \
	  $$(ls src/pyrt/_core/*.pyx | xargs -n1 basename | sed 's/\.pyx$$//; s/^/pyrt._core./')

# sdist -> wheel, as a packager would; on Linux the wheel is repaired to its manylinux tag.
dist:
	rm -rf dist
	$(PYTHON) -m build -q $(BUILD_ARGS)
	@if [ "$$(uname)" = Linux ]; then $(PYTHON) -m auditwheel -q repair -w dist/repaired dist/*.whl 2>/dev/null || $(PYTHON) -m auditwheel repair -w dist/repaired dist/*.whl; fi
	@ls -l dist dist/repaired

bench: build
	PYTHONPATH=src $(PYTHON) -m pytest -q bench --benchmark-only --benchmark-disable-gc --benchmark-columns=min,median,ops

# Everything on this machine, written to bench/RESULTS.md; some three minutes.
bench-table: build
	PYTHONPATH=src $(PYTHON) -m bench

# docs/status.md: which test or benchmark shows which row of the feature list; and the table of faults in docs/sim-faults.md.
status:
	$(PYTHON) tests/house/status.py
	PYTHONPATH=src $(PYTHON) tests/docs/sim_tables.py

# kill -9 of a trading session: PYRT_KILLS (200) times, half of them with a watchdog, half while every third order is accepted and
# answered 504; and a quarter more while requests are held up and updates are lost and doubled.
kill-drill: build
	PYTHONPATH=src $(PYTHON) -m pytest -q -s -m nightly tests/e2e/test_kill_drill.py

# The wheel twice, in two directories, from two copies of what git has: the same bytes, without a path of this machine in them.
reproducible:
	$(PYTHON) tests/security/reproducible.py

# The fault programme on this source tree; what passed is written to src/pyrt/proof.json, which the next wheel takes along and which
# unlocks live trading. PYRT_SEEDS, PYRT_KILLS and the sizes in tests/proof.py; some four hours. The night's target: a million crash
# points, a million steps of the limits beside their oracle; with fewer of either there is no record.
proof: build
	PYTHONPATH=src $(PYTHON) -m tests.proof

# kill -9 at every system call of submit, replace, cancel and fill, and of recovery; PYRT_SYSCALL_STEP=5 takes every fifth. Some
# twenty minutes; the figures by fault go to JSON, as those of the next two.
JSON ?= build/faults-real.json
real = PYRT_FAULTS_JSON="$(abspath $(JSON))" PYTHONPATH=src $(PYTHON) -m pytest -q -s -m nightly
syscalls: build
	$(real) tests/e2e/faults/test_syscalls.py

# Power cuts (ext4 shutdown on a loop mount; root only) under a trading session, at every system call and at PYRT_CUTS (100) random
# moments.
powercuts: build
	$(real) tests/e2e/faults/test_power_cuts.py

# All drills of real processes: these two, disks that fail, sockets that die, clocks that step, processors that are taken away.
real-faults: build
	$(real) tests/e2e/faults

# The whole system in one process on a simulated clock, net and disk: PYRT_SEEDS (2000, some 80,000 crash points) seeds in its three modes,
# both cores; the table of faults goes to build/faults.json.
PYRT_SEEDS ?= 2000
faults: build
	PYTHONPATH=src $(PYTHON) -m tests.faults --seeds 0:$(PYRT_SEEDS) --mode all --jobs 2 --table --json build/faults.json

# docs/reliability.md from docs/reliability.json. What a programme wrote is put there by, for instance,
# python -m tests.docs.reliability --take real build/faults-real.json --tree $$(git rev-parse --short HEAD)
reliability:
	PYTHONPATH=src $(PYTHON) -m tests.docs.reliability

# The same harness against broken versions of our own code (tests/faults/mutant_list): each must be caught; build/mutants.json.
mutants: build
	PYTHONPATH=src $(PYTHON) -m tests.faults.mutants --jobs 2 --json build/mutants.json

# A session over real sockets with orders, a watchdog and a reconnection each minute, PYRT_SOAK (3600) seconds: does anything grow?
soak: build
	PYTHONPATH=src $(PYTHON) -m bench.soak --json build/soak.json

# alpaca-py, lumibot and pyrt under the same twelve faults; writes docs/derby.md. The peers get an environment of their own.
derby: build
	@test -x build/derby/bin/python || $(PYTHON) -m venv build/derby
	@build/derby/bin/python -c "import alpaca, lumibot" 2>/dev/null || build/derby/bin/pip install -q alpaca-py==0.44.0 lumibot==4.6.30
	PYTHONPATH=src $(PYTHON) -m bench.derby
