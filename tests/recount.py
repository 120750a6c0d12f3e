#!/usr/bin/env python3
"""Counts from a history file what the dashboards of its projects and assignees must say.

    recount.py [--lines N] [--until TIME] FILE

FILE is newline-delimited JSON, plain or gzip, one command a line, each task's and each project's in the order in which
they happened. Lines that say what they expect are meant to be rejected, and a command id that came before is a repetition:
neither counts. Only the first N lines are looked at when --lines is given, and of them only what happened up to and at TIME
when --until is given.

Prints {"projects": {id: ...}, "assignees": {id: ...}}. Deleted tasks count nowhere. For each owner of tasks:

    figures   how many tasks there are, how many in each status and of each priority; the estimated hours of all tasks, and
              the actual hours of completed tasks, in hundredths; and of completed tasks that have actual hours and an
              estimate above 0, how many there are, and the sum of their ratios actual / estimated, each in millionths and
              rounded half up before it is added
    days      by UTC day: how many of the tasks were created on it; how many are completed, and were so on it; and how many
              are due on it and neither completed nor cancelled

Whoever has no tasks is left out, and so are days on which nothing is.

It knows the file and these definitions, and nothing of the product: that is the point of it.
"""

import argparse
import gzip
import json
import sys
from collections import defaultdict
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice

GZIP_MAGIC = b"\x1f\x8b"
MILLION = Decimal(1_000_000)
STATUSES = ("open", "in_progress", "blocked", "completed", "cancelled")
PRIORITIES = ("low", "medium", "high", "critical")
# A type that is passed over in silence would make the count wrong in silence, so those that count nothing are named.
COUNT_NOTHING = {
    f"tasks.{name}"
    for name in (
        "create_project rename_project describe_project archive_project restore_project rename_task describe_task set_key "
        "add_label remove_label set_metadata remove_metadata add_comment add_step complete_step remove_step "
        "request_ai_review record_ai_review"
    ).split()
}


def lines_of(path):
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    opened = gzip.open(path, "rb") if compressed else open(path, "rb")
    with opened as file:
        yield from file


def instant(at):
    return datetime.fromisoformat(at.replace("Z", "+00:00")).astimezone(timezone.utc)


def utc_day(at):
    return instant(at).date().isoformat()


def tasks_after(lines, until):
    """Every task as the commands leave it."""
    tasks, seen = {}, set()
    for line in lines:
        # Decimals, because hours are added exactly.
        command = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        if "expect" in command or command["id"] in seen:
            continue
        seen.add(command["id"])
        if until and instant(command["at"]) > until:
            continue
        if command["type"] not in COUNT_NOTHING:
            apply(tasks, command)
    return tasks.values()


def apply(tasks, command):
    kind, data, day = command["type"].removeprefix("tasks."), command["data"], utc_day(command["at"])
    if kind == "create_task":
        tasks[command["aggregate"]] = {
            "project": data["projectId"],
            "assignee": None,
            "status": "open",
            "priority": data["priority"],
            "estimated": data.get("estimatedHours"),
            "actual": None,
            "due": data.get("dueDate"),
            "created": day,
            "completed": None,
            "deleted": False,
        }
        return
    task = tasks[command["aggregate"]]
    if kind == "start_task":
        task["status"] = "in_progress"
    elif kind == "block_task":
        if task["status"] != "blocked":
            task["resumed"] = task["status"]
        task["status"] = "blocked"
    elif kind == "unblock_task":
        task["status"] = task["resumed"]
    elif kind == "complete_task":
        task.update(status="completed", actual=data.get("actualHours"), completed=day)
    elif kind == "reopen_task":
        task.update(status="open", actual=None, completed=None)
    elif kind == "cancel_task":
        task["status"] = "cancelled"
    elif kind == "set_priority":
        task["priority"] = data["priority"]
    elif kind == "estimate_task":
        task["estimated"] = data["estimatedHours"]
    elif kind == "set_due_date":
        task["due"] = data["dueDate"]
    elif kind == "assign_task":
        task["assignee"] = data["assigneeId"]
    elif kind == "unassign_task":
        task["assignee"] = None
    elif kind == "move_task":
        task["project"] = data["projectId"]
    elif kind == "delete_task":
        task["deleted"] = True
    elif kind == "restore_task":
        task["deleted"] = False
    else:
        sys.exit(f"recount.py does not know {command['type']}")


def millionths(actual, estimated):
    return int((actual * MILLION / estimated).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def hundredths(hours):
    return int(hours * 100)


def empty():
    names = ("total", *STATUSES, *PRIORITIES, "estimated_hundredths", "actual_hundredths")
    figures = dict.fromkeys((*names, "efficiency_count", "efficiency_micros"), 0)
    return {"figures": figures, "days": defaultdict(lambda: {"created": 0, "completed": 0, "due": 0})}


def count(owner, task):
    figures, days = owner["figures"], owner["days"]
    figures["total"] += 1
    figures[task["status"]] += 1
    figures[task["priority"]] += 1
    figures["estimated_hundredths"] += hundredths(task["estimated"] or 0)
    days[task["created"]]["created"] += 1
    if task["due"] and task["status"] not in ("completed", "cancelled"):
        days[task["due"]]["due"] += 1
    if task["status"] != "completed":
        return
    days[task["completed"]]["completed"] += 1
    if task["actual"] is None:
        return
    figures["actual_hundredths"] += hundredths(task["actual"])
    if task["estimated"]:
        figures["efficiency_count"] += 1
        figures["efficiency_micros"] += millionths(task["actual"], task["estimated"])


def recount(lines, until):
    projects, assignees = defaultdict(empty), defaultdict(empty)
    for task in tasks_after(lines, until):
        if task["deleted"]:
            continue
        count(projects[task["project"]], task)
        if task["assignee"]:
            count(assignees[task["assignee"]], task)
    return {"projects": projects, "assignees": assignees}


def main():
    parser = argparse.ArgumentParser(description="counts what the dashboards of a history must say")
    parser.add_argument("--lines", type=int, help="count only so many lines")
    parser.add_argument("--until", type=instant, help="count only what happened up to and at this time")
    parser.add_argument("file")
    arguments = parser.parse_args()
    lines = islice(lines_of(arguments.file), arguments.lines)
    json.dump(recount(lines, arguments.until), sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
