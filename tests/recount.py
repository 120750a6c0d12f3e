#!/usr/bin/env python3
"""Counts from a history file what the dashboards of its projects must say.

    recount.py [--lines N] FILE

FILE is newline-delimited JSON, plain or gzip, as README.md beside the history describes it. Only the first N lines are
counted when --lines is given. Prints {"<project id>": {...}} with, per project: how many tasks there are and how many
are in each status; the estimated hours of all tasks; the actual hours of completed tasks; and of completed tasks that
have actual hours and an estimate above 0, how many there are, and the sum of their ratios actual / estimated, each in
millionths and rounded half up before it is added.

It knows the file and these definitions, and nothing of the product: that is the point of it.
"""

import argparse
import gzip
import json
import sys
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice

GZIP_MAGIC = b"\x1f\x8b"
MILLION = Decimal(1_000_000)


def lines_of(path):
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    opened = gzip.open(path, "rb") if compressed else open(path, "rb")
    with opened as file:
        yield from file


def tasks_after(lines):
    """Every project's id, and every task as the commands leave it."""
    projects, tasks = [], {}
    for line in lines:
        # Decimals, because hours are added exactly.
        command = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        kind, aggregate, data = command["type"], command["aggregate"], command["data"]
        if kind == "tasks.create_project":
            projects.append(aggregate)
        elif kind == "tasks.create_task":
            tasks[aggregate] = {
                "project": data["projectId"],
                "status": "open",
                "estimated": data.get("estimatedHours"),
                "actual": None,
            }
        elif kind == "tasks.start_task":
            tasks[aggregate]["status"] = "in_progress"
        elif kind == "tasks.complete_task":
            tasks[aggregate].update(status="completed", actual=data.get("actualHours"))
        elif kind == "tasks.reopen_task":
            tasks[aggregate].update(status="open", actual=None)
        elif kind == "tasks.cancel_task":
            tasks[aggregate]["status"] = "cancelled"
        elif kind not in (
            "tasks.assign_task",
            "tasks.add_label",
            "tasks.add_step",
            "tasks.complete_step",
        ):
            # A type that is passed over in silence would make the count wrong in silence.
            sys.exit(f"recount.py does not know {kind}")
    return projects, tasks


def millionths(actual, estimated):
    return int((actual * MILLION / estimated).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def recount(lines):
    projects, tasks = tasks_after(lines)
    counts = {
        project: {
            "total": 0,
            "open": 0,
            "inProgress": 0,
            "completed": 0,
            "cancelled": 0,
            "estimatedHours": Decimal(0),
            "actualHours": Decimal(0),
            "efficiencyCount": 0,
            "efficiencyMicros": 0,
        }
        for project in projects
    }
    fields = {"open": "open", "in_progress": "inProgress", "completed": "completed", "cancelled": "cancelled"}
    for task in tasks.values():
        count = counts[task["project"]]
        count["total"] += 1
        count[fields[task["status"]]] += 1
        count["estimatedHours"] += task["estimated"] or 0
        if task["status"] != "completed" or task["actual"] is None:
            continue
        count["actualHours"] += task["actual"]
        if task["estimated"]:
            count["efficiencyCount"] += 1
            count["efficiencyMicros"] += millionths(task["actual"], task["estimated"])
    for count in counts.values():
        count["averageEfficiency"] = (
            count["efficiencyMicros"] / count["efficiencyCount"] / 1e6 if count["efficiencyCount"] else None
        )
    return counts


def main():
    parser = argparse.ArgumentParser(description="counts what the dashboards of a history must say")
    parser.add_argument("--lines", type=int, help="count only so many lines")
    parser.add_argument("file")
    arguments = parser.parse_args()
    counts = recount(islice(lines_of(arguments.file), arguments.lines))
    json.dump(counts, sys.stdout, indent=1, sort_keys=True, default=float)
    print()


if __name__ == "__main__":
    main()
