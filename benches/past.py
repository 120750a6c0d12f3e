#!/usr/bin/env python3
"""How much longer lists and dashboards take as of a random position than of the present, end to end, over whatever a running
Foldline holds.

Every query is asked in turns: once of the present, once as of a position between 1 and the head, each time another. Printed
are the 95th percentiles of both and their ratio, the worst first; by kinds of queries, too. HTTP and GraphQL are in them.

    foldline demo --tasks 100000
    benches/past.py --server http://127.0.0.1:8080 --token "$(foldline token --tenant dev --role viewer)" --times 40
"""

import argparse
import itertools
import random
import statistics
import time

from lists import DIRECTIONS, ORDERS, SAMPLE, Server, filters

LIST = """query ($filter: TaskFilter, $order: TaskOrder, $p: AsOf) {
    tasks(filter: $filter, order: $order, first: 50, asOf: $p) {
        nodes { id title status priority dueDate labels } pageInfo { hasNextPage endCursor }
    }
}"""
COUNT = "query ($filter: TaskFilter, $p: AsOf) { tasks(filter: $filter, first: 0, asOf: $p) { totalCount } }"
FIGURES = "total completed byStatus { open blocked } byPriority { high } estimatedHours actualHours averageEfficiency"
DASHBOARDS = {
    "project": "query ($id: ID!, $p: AsOf) { projectDashboard(projectId: $id, asOf: $p) { %s } }" % FIGURES,
    "assignee": "query ($id: UUID!, $p: AsOf) { assigneeDashboard(assigneeId: $id, asOf: $p) { %s } }" % FIGURES,
}
TASK = "query ($id: ID!, $p: AsOf) { task(id: $id, asOf: $p) { title status steps { content } labels metadata } }"


def p95(took):
    return statistics.quantiles(took, n=20)[-1]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--server", required=True, help="scheme and authority of the query service")
    arguments.add_argument("--token", required=True)
    arguments.add_argument("--times", type=int, default=40, help="requests per query, of the present and of the past each")
    arguments.add_argument("--shown", type=int, default=12, help="how many of the worst are printed")
    arguments.add_argument("--seed", type=int, default=7, help="of the positions")
    given = arguments.parse_args()
    server = Server(given.server, given.token)
    dice = random.Random(given.seed)
    head = int(server.ask("{ projection { completedPrefix } }")["projection"]["completedPrefix"])

    def measured(query, variables):
        present, past = [], []
        for _ in range(given.times):
            for took, as_of in (present, None), (past, {"position": str(dice.randint(1, head))}):
                began = time.perf_counter()
                server.ask(query, {**variables, "p": as_of})
                took.append((time.perf_counter() - began) * 1000)
        return p95(past) / p95(present), p95(present), p95(past)

    results = []
    chosen = filters(server)
    for (name, filter_), by, direction in itertools.product(chosen.items(), ORDERS, DIRECTIONS):
        variables = {"filter": filter_, "order": {"by": by, "direction": direction}}
        results.append(("list", *measured(LIST, variables), f"{name}, by {by} {direction}"))
    for name, filter_ in chosen.items():
        results.append(("count", *measured(COUNT, {"filter": filter_}), name))
    nodes = server.ask(SAMPLE)["tasks"]["nodes"]
    projects = sorted({node["projectId"] for node in nodes})[:5]
    assignees = sorted({node["assigneeId"] for node in nodes if node["assigneeId"]})[:5]
    for kind, owners in ("project", projects), ("assignee", assignees):
        for owner in owners:
            results.append(("dashboard", *measured(DASHBOARDS[kind], {"id": owner}), f"{kind} {owner}"))
    for node in nodes[:5]:
        results.append(("task", *measured(TASK, {"id": node["taskId"]}), node["taskId"]))

    print(f"as of random positions up to {head}, {given.times} requests each; milliseconds")
    for kind in "list", "count", "dashboard", "task":
        of_kind = sorted((r[1:] for r in results if r[0] == kind), reverse=True)
        within = sum(ratio <= 3 for ratio, *_ in of_kind)
        print(f"{kind}: median ratio of the p95 {statistics.median(r[0] for r in of_kind):.2f}, worst {of_kind[0][0]:.1f}; "
              f"{within} of {len(of_kind)} within 3")
        for ratio, present, past, name in of_kind[:given.shown]:
            print(f"  {ratio:6.2f}  {present:7.1f} -> {past:7.1f}  {name}")


if __name__ == "__main__":
    main()
