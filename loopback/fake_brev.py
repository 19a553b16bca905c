#!/usr/bin/env python3
"""The `brev` command as its users meet it: the same arguments, the same shapes, and failing as the real one does.

Its state is the folder FAKE_BREV: `instances.json`; `calls`, one JSON list of arguments a line; `ssh_config`, which
`refresh` writes; and `switches/`, files whose names are

    slow_create      it answers, and the instance exists, after the number of seconds in the file
    silent_create    it says nothing
    hanging_create   the instance exists, but the command never ends
    late_create      it fails with a time-out, and the instance turns up after the number of seconds in the file
    null_list        `ls --json` prints `null` for a list without instances, and now and then for one with some
    quota            no instance for want of quota
    never_healthy    instances stay UNHEALTHY
    never_built      instances stay BUILDING
    create_failed    instances end as FAILURE
    delete_fails     so many times as the file says, or always
    logged_out       there is no login

The service behind it, `fake_brev.py service`, is a process of its own: it deploys instances, each a
`loopback.sshd.Machine`, and takes them down. It ends, and they with it, when its parent does.
"""

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sshd import Machine

SECONDS = 0.3
"""In each of the states that an instance passes through."""


class State:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def instances(self) -> Iterator[dict[str, dict[str, Any]]]:
        """By name; what is changed in them is kept."""
        file = self.folder / "instances.json"
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = json.loads(file.read_text()) if file.exists() else {}
            yield found
            file.with_suffix(".part").write_text(json.dumps(found))
            file.with_suffix(".part").replace(file)

    def listed(self) -> dict[str, dict[str, Any]]:
        """Those that the service knows by now."""
        with self.instances() as found:
            return {name: each for name, each in found.items() if each["from"] <= time.time()}

    def switch(self, name: str) -> str | None:
        """What is in a switch; None where it is not set."""
        file = self.folder / "switches" / name
        return file.read_text().strip() if file.exists() else None

    def machine(self, name: str) -> "Machine":
        """The machine of an instance."""
        # Late, for the many calls that need none; and it lies beside this file, wherever that is called from.
        sys.path.insert(0, str(Path(__file__).parent))
        from sshd import Machine

        return Machine(self.folder / "machines" / name)


def refuse(said: str) -> None:
    """As cobra does."""
    print(f"Error: {said}", file=sys.stderr)
    sys.exit(1)


def create(state: State, name: str, gpu: str, disk: float) -> None:
    """`create NAME -g GPU --min-disk GB -d`."""
    quiet = state.switch("silent_create") is not None

    def log(said: str) -> None:
        if not quiet:
            print(said, file=sys.stderr, flush=True)

    log("Attempting to create 1 instance(s) with 1 parallel attempts")
    time.sleep(float(state.switch("slow_create") or 0))
    if state.switch("quota") is not None:
        log(f"[Worker 1] g6e.xlarge Failed: quota exceeded for {gpu}: limit 0, contact support to raise it")
        log("\nWarning: Only created 0/1 instances")
        refuse("could only create 0/1 instances")
    late = state.switch("late_create")
    with state.instances() as instances:
        instances[name] = {
            "id": f"id-{name}",
            "status": "DEPLOYING",
            "build_status": "PENDING",
            "health_status": "UNAVAILABLE",
            "instance_type": "g6e.xlarge",
            "gpu": gpu,
            "disk": disk,
            "from": time.time() + float(late or 0),
            "since": time.time() + float(late or 0),
        }
    if late is not None:
        refuse("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    if state.switch("hanging_create") is not None:
        time.sleep(600)
    log(f"[Worker 1] g6e.xlarge Success! Created instance '{name}'")
    if not quiet:
        print(name)


def ls(state: State) -> None:
    """`ls --json`."""
    instances = state.listed()
    if state.switch("null_list") is not None:
        asked = state.folder / "lists"
        count = len(asked.read_bytes()) if asked.exists() else 0
        asked.write_bytes(b"." * (count + 1))
        if not instances or count % 3 == 0:
            print("null")
            return
    shown = []
    for name, each in instances.items():
        running = each["status"] == "RUNNING"
        shown.append(
            {
                "name": name,
                "id": each["id"],
                "status": "UNHEALTHY" if running and each["health_status"] == "UNHEALTHY" else each["status"],
                "build_status": each["build_status"],
                "shell_status": "READY" if running and each["build_status"] == "COMPLETED" else "NOT READY",
                "health_status": each["health_status"],
                "instance_type": each["instance_type"],
                "instance_kind": "gpu",
                "gpu": each["gpu"],
            }
        )
    print(json.dumps({"workspaces": shown or None}, indent=2))


SSH_ENTRY = """Host {name}
  Hostname 127.0.0.1
  IdentityFile "{key}"
  User root
  ServerAliveInterval 30
  UserKnownHostsFile /dev/null
  IdentitiesOnly yes
  StrictHostKeyChecking no
  PasswordAuthentication no
  AddKeysToAgent yes
  ForwardAgent yes
  RequestTTY yes
  ControlMaster auto
  ControlPath {folder}/brev-control-%C
  ControlPersist 10m
  Port {port}
  RemoteCommand cd {folder}; $SHELL

"""


def refresh(state: State) -> None:
    """Write the configuration of ssh, with all that the real one has in it."""
    entries = [
        SSH_ENTRY.format(
            name=name, key=state.machine(name).key, port=state.machine(name).port, folder=state.folder
        )
        for name, each in state.listed().items()
        if each["status"] == "RUNNING"
    ]
    (state.folder / "ssh_config.part").write_text("".join(entries))
    (state.folder / "ssh_config.part").replace(state.folder / "ssh_config")


def change(state: State, name: str, status: str) -> None:
    """`delete`, `stop`, `start`."""
    times = state.switch("delete_fails")
    if status == "DELETING" and times is not None:
        if times.isdigit():
            left = int(times) - 1
            switch = state.folder / "switches" / "delete_fails"
            switch.write_text(str(left)) if left else switch.unlink()
        refuse("rpc error: code = Internal desc = internal server error")
    with state.instances() as instances:
        if name not in instances or instances[name]["from"] > time.time():
            refuse(f"instance with id/name {name} not found")
        instances[name] |= {"status": status, "since": time.time()}


def step(state: State, name: str, each: dict[str, Any]) -> bool:
    """Let an instance go on by one state; false where it is gone."""
    old = time.time() - each["since"] > SECONDS
    status, build = each["status"], each["build_status"]
    if status in ("DEPLOYING", "STARTING") and old:
        failed = state.switch("create_failed") is not None
        if not failed:
            state.machine(name).power_on()
        health = "UNHEALTHY" if state.switch("never_healthy") is not None else "HEALTHY"
        each |= {"status": "FAILURE" if failed else "RUNNING", "since": time.time(), "health_status": health}
        each["build_status"] = "CREATE_FAILED" if failed else "BUILDING"
    elif status == "RUNNING" and build == "BUILDING" and old and state.switch("never_built") is None:
        each["build_status"] = "COMPLETED"
    elif status in ("DELETING", "STOPPING"):
        state.machine(name).power_off()
        if old and status == "DELETING":
            return False
        if old:
            each["status"] = "STOPPED"
    return True


def service(state: State) -> None:
    """Until the parent has ended."""
    parent = os.getppid()
    while os.getppid() == parent:
        with state.instances() as instances:
            for name, each in list(instances.items()):
                if each["from"] <= time.time() and not step(state, name, each):
                    del instances[name]
        time.sleep(0.03)
    for folder in (state.folder / "machines").glob("*"):
        state.machine(folder.name).power_off()


def main() -> None:
    """The command line, of which only what the real one has is understood."""
    state = State(Path(os.environ["FAKE_BREV"]))
    if sys.argv[1:] == ["service"]:
        service(state)
        return
    with (state.folder / "calls").open("a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\n")
    if sys.argv[1:] == ["--version"]:
        print("Current Version: v0.6.327")
        return
    if not sys.stdin.isatty() and not os.path.samestat(os.fstat(0), os.stat("/dev/null")):  # noqa: PTH116
        sys.stdin.read()  # as the real one does: names may be piped to it
    parser = argparse.ArgumentParser(prog="brev")
    commands = parser.add_subparsers(dest="command", required=True)
    parse = {
        name: commands.add_parser(name) for name in ("create", "ls", "refresh", "delete", "stop", "start")
    }
    for name in ("create", "delete", "stop", "start"):
        parse[name].add_argument("name")
    parse["create"].add_argument("-g", "--gpu-name", required=True)
    parse["create"].add_argument("--min-disk", type=float, required=True)
    parse["create"].add_argument("-d", "--detached", action="store_true", required=True)
    parse["start"].add_argument("-d", "--detached", action="store_true")
    parse["ls"].add_argument("--json", action="store_true", required=True)
    asked = parser.parse_args()
    if state.switch("logged_out") is not None:
        refuse("you are not logged in, run `brev login`")
    if asked.command == "create":
        create(state, asked.name, asked.gpu_name, asked.min_disk)
    elif asked.command == "ls":
        ls(state)
    elif asked.command == "refresh":
        refresh(state)
    else:
        change(
            state, asked.name, {"delete": "DELETING", "stop": "STOPPING", "start": "STARTING"}[asked.command]
        )


if __name__ == "__main__":
    main()
