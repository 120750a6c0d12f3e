# What a person does with Foldline; `make` alone lists it. Everything may be repeated: what is done already takes no time.
# The steps themselves are in deploy/.

.DEFAULT_GOAL := help
# With `make -C …` too, standard output is the program's alone.
MAKEFLAGS += --no-print-directory
.PHONY: help up up-kafka test soak bench setup postgres kafka web fmt goldens

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

up: ## Build and start everything in one process; flags in ARGS, as in: make up ARGS="--port 9000 --data folder"
	@exec deploy/up.sh up $(ARGS)

up-kafka: ## The same as separate processes, with a local Kafka in the middle
	@exec deploy/up.sh up-kafka $(ARGS)

test: ## All checks and tests, over a real PostgreSQL and a real Kafka
	@exec deploy/test.sh test

soak: ## The fault and load tests at full size
	@exec deploy/test.sh soak

bench: ## All benchmarks; `make bench-append` and so on is one
	@exec deploy/bench.sh all

bench-%:
	@exec deploy/bench.sh $*

setup: ## Install what is missing on this machine
	@exec deploy/setup.sh test

postgres: ## Fetch PostgreSQL into the cache
	@exec deploy/postgres/fetch.sh

kafka: ## Fetch Apache Kafka into the cache
	@exec deploy/kafka/fetch.sh

web: ## Build the pages that the services carry
	@exec deploy/web.sh

fmt: ## Format the code
	@cargo fmt --all

goldens: ## Write the golden files anew: the GraphQL schema, the OpenAPI document and the events' schemas
	@exec deploy/test.sh goldens
