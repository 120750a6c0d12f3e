#!/usr/bin/env python3
"""How long lists of tasks take, end to end, over whatever a running Foldline holds.

Every filter is asked with every order and direction: the first page, the one after it, and the last; and counted. Lists of
projects, of one task's history and of its comments follow. Each is asked a number of times over one connection; printed are
the 95th percentiles, the slowest first, of pages and of counts. They are upper bounds of what the database takes: HTTP and
GraphQL are in them.

    foldline demo --tasks 100000
    benches/lists.py --server http://127.0.0.1:8080 --token "$(foldline token --tenant dev --role viewer)" --times 40
"""

import argparse
import datetime
import http.client
import itertools
import json
import statistics
import time
import urllib.parse

ORDERS = ["CREATED_AT", "UPDATED_AT", "DUE_DATE", "PRIORITY"]
DIRECTIONS = ["ASC", "DESC"]

LIST = """query ($filter: TaskFilter, $order: TaskOrder, $first: Int, $last: Int, $after: String) {
    tasks(filter: $filter, order: $order, first: $first, last: $last, after: $after) {
        nodes { id title status priority dueDate labels } pageInfo { hasNextPage endCursor }
    }
}"""
COUNT = "query ($filter: TaskFilter) { tasks(filter: $filter, first: 0) { totalCount } }"
OTHERS = {
    "projects": "{ projects(first: 50) { nodes { name } } }",
    "archived projects": "{ projects(first: 50, filter: {archived: true}) { nodes { name } } }",
    "history of a task": "query ($id: ID!) { taskHistory(id: $id, first: 50) { nodes { summary } } }",
    "comments of a task": "query ($id: ID!) { task(id: $id) { comments(first: 50) { nodes { text } } } }",
}
SAMPLE = """{
    tasks(first: 100, order: {by: UPDATED_AT, direction: DESC}) {
        nodes { taskId key projectId assigneeId labels metadata dueDate createdAt updatedAt }
    }
}"""


class Server:
    def __init__(self, origin, token):
        address = urllib.parse.urlsplit(origin)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, query, variables=None):
        body = json.dumps({"query": query, "variables": variables or {}})
        self.connection.request("POST", "/graphql", body, self.headers)
        answer = json.loads(self.connection.getresponse().read())
        if answer.get("errors") or "data" not in answer:
            raise SystemExit(f"{variables}: {answer}")
        return answer["data"]


def filters(server):
    """A filter for each condition, with values that occur."""
    nodes = server.ask(SAMPLE)["tasks"]["nodes"]
    if not nodes:
        raise SystemExit("there are no tasks; run `foldline demo --tasks 100000` first")

    def first(field):
        return next((node[field] for node in nodes if node[field]), None)

    middle = nodes[len(nodes) // 2]
    found = {
        "none": {},
        "project": {"projectId": first("projectId")},
        "status open": {"status": ["OPEN"]},
        "status completed": {"status": ["COMPLETED"]},
        "status, several": {"status": ["OPEN", "IN_PROGRESS", "BLOCKED"]},
        "priority": {"priority": ["CRITICAL"]},
        "unassigned": {"unassigned": True},
        "assigned": {"unassigned": False},
        "overdue": {"overdueAt": middle["updatedAt"]},
        "created before": {"createdBefore": middle["createdAt"]},
        "created after": {"createdAfter": middle["createdAt"]},
        "updated before": {"updatedBefore": middle["updatedAt"]},
        "updated after": {"updatedAfter": middle["updatedAt"]},
        "completed before": {"completedBefore": middle["createdAt"]},
        "completed after": {"completedAfter": middle["createdAt"]},
        "AI review needed": {"aiReviewNeeded": True},
        "AI review not needed": {"aiReviewNeeded": False},
        "deleted": {"deleted": True},
    }
    if assignee := first("assigneeId"):
        found["assignee"] = {"assigneeId": assignee}
        found["project, status and assignee"] = {
            "projectId": first("projectId"), "status": ["OPEN"], "assigneeId": assignee}
    if labels := first("labels"):
        found["label"] = {"labels": labels[:1]}
    if metadata := first("metadata"):
        name = sorted(metadata)[0]
        found["metadata"] = {"metadata": {name: metadata[name]}}
    if key := first("key"):
        found["key"] = {"key": key}
    if due := first("dueDate"):
        day = datetime.date.fromisoformat(due)
        found["due before"] = {"dueBefore": str(day)}
        found["due after"] = {"dueAfter": str(day)}
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--server", required=True, help="scheme and authority of the query service")
    arguments.add_argument("--token", required=True)
    arguments.add_argument("--times", type=int, default=40, help="requests per query")
    arguments.add_argument("--shown", type=int, default=10, help="how many of the slowest are printed")
    given = arguments.parse_args()
    server = Server(given.server, given.token)

    def measured(query, variables):
        server.ask(query, variables)
        took_ms = []
        for _ in range(given.times):
            began = time.perf_counter()
            server.ask(query, variables)
            took_ms.append((time.perf_counter() - began) * 1000)
        return statistics.quantiles(took_ms, n=20)[-1], statistics.median(took_ms)

    pages, counts = [], []
    chosen = filters(server)
    for (name, filter_), by, direction in itertools.product(chosen.items(), ORDERS, DIRECTIONS):
        variables = {"filter": filter_, "order": {"by": by, "direction": direction}}
        first = {**variables, "first": 50}
        after = server.ask(LIST, first)["tasks"]["pageInfo"]["endCursor"]
        for page, asked in ("first", first), ("next", {**first, "after": after}), ("last", {**variables, "last": 50}):
            pages.append((*measured(LIST, asked), f"{name}, by {by} {direction}, {page} page"))
    task = server.ask(SAMPLE)["tasks"]["nodes"][0]["taskId"]
    for name, query in OTHERS.items():
        pages.append((*measured(query, {"id": task} if "$id" in query else {}), name))
    for name, filter_ in chosen.items():
        counts.append((*measured(COUNT, {"filter": filter_}), f"{name}, counted"))
    for what, results in ("pages", pages), ("counts", counts):
        results.sort(reverse=True)
        print(f"{len(results)} {what}, {given.times} requests each; milliseconds")
        print("    p95     p50  query")
        for p95, p50, name in results[:given.shown]:
            print(f"{p95:7.1f} {p50:7.1f}  {name}")
        print(f"slowest p95 {results[0][0]:.1f} ms; median of the p95 {statistics.median(r[0] for r in results):.1f} ms; "
              f"median of the p50 {statistics.median(r[1] for r in results):.1f} ms")


if __name__ == "__main__":
    main()
