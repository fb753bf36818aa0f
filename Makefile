# The inner loop. `make build` compiles the core beside its sources, only what changed; `make test` runs the suite on it.
PYTHON ?= python
export PYTHONPATH := $(CURDIR)/src

.PHONY: build test
build:
	@test -f build/inplace/build.ninja || cmake -G Ninja -S src/pyrt/_core -B build/inplace -DPYRT_INPLACE=ON \
	  -DPython_EXECUTABLE="$$($(PYTHON) -c 'import sys; print(sys.executable)')" \
	  -DCMAKE_PREFIX_PATH="$$($(PYTHON) -c 'import cython_cmake, pathlib; print(pathlib.Path(cython_cmake.__file__).parent / "cmake")')" \
	  -DCMAKE_MODULE_PATH="$$($(PYTHON) -c 'import cython_cmake, pathlib; print(pathlib.Path(cython_cmake.__file__).parent / "cmake")')" >/dev/null
	@cmake --build build/inplace

test: build
	$(PYTHON) -m pytest -q -n auto tests
