#!/usr/bin/env python3
"""Who may include whom: the includes of every file against cmake/layers.txt.

layers.txt is also what the build links, so a folder cannot use what it does not declare. Checked:
  - layers.txt itself: every folder of cairn/ is in it, below what it names, transitively closed
    (so it has no cycle);
  - a file of cairn/<folder>/ includes cairn/ headers of its own and the listed folders only, by
    full name, never the umbrella header cairn/cairn.h;
  - parts that replace one another (runtime/ref, cpu, cuda, null; comm/local, mpi, nccl) do not
    include each other;
  - LLVM is included in cairn/compiler/llvm/ only, by headers too;
  - headers do not include each other in a circle;
  - headers include only the standard library and cairn, and not <iostream>: what a user of the
    library compiles has no other package in it, and compile time is a feature;
  - apps/ and examples/ see cairn only through its headers.
"""
import re

import source_tree

SIBLINGS = {"runtime": {"ref", "cpu", "cuda", "null"}, "comm": {"local", "mpi", "nccl"}}
# Headers of the C library, the kernel and the compiler that a header may need.
SYSTEM_HEADERS = re.compile(r"[a-z_0-9]+|(immintrin|cpuid|unistd|fcntl|pthread)\.h|sys/[a-z]+\.h")


LLVM_FOLDER = "cairn/compiler/llvm/"


def read_layers(root, problems):
    """folder → set of the folders that it may include."""
    layers = {}
    for number, line in enumerate(source_tree.read(root, "cmake/layers.txt").splitlines(), 1):
        match = re.match(r"([a-z]+): *([^|]*)", line)
        if not match:
            continue
        name, allowed = match[1], match[2].split()
        where = f"cmake/layers.txt:{number}"
        for other in allowed:
            if other not in layers:
                problems.append(f"{where}: {name} names {other}, which no line above declares")
            for below in layers.get(other, set()) - set(allowed) - {name}:
                problems.append(f"{where}: {name} may include {other} but not {below}, which {other} "
                                "includes; name it too")
        layers[name] = set(allowed)
    return layers


def check_layer_include(name, included, layers):
    """The problem with a file of cairn/<folder>/ including cairn/..., or None."""
    parts, target = name.split("/"), included.split("/")
    if len(target) < 3:
        return f"{included} is for users of the library; include what is needed from the folders"
    if target[1] != parts[1] and target[1] not in layers[parts[1]]:
        return (f"{parts[1]} may not include {target[1]}; cmake/layers.txt allows: "
                f"{' '.join(sorted(layers[parts[1]])) or 'nothing'}")
    siblings = SIBLINGS.get(parts[1], set())
    if target[1] == parts[1] and {parts[2], target[2]} <= siblings and parts[2] != target[2]:
        return f"{parts[1]}/{parts[2]} and {parts[1]}/{target[2]} must not know of each other"
    return None


def find_cycles(graph, problems):
    """Reports one circle per set of headers that include each other."""
    state = {}

    def visit(node, path):
        state[node] = "open"
        for other in graph.get(node, ()):
            if state.get(other) == "open":
                circle = path[path.index(other):] + [other]
                problems.append(f"{node}: headers include each other: {' → '.join(circle)}")
            elif other not in state:
                visit(other, path + [other])
        state[node] = "done"

    for node in sorted(graph):
        if node not in state:
            visit(node, [node])


def main():
    root = source_tree.parse_arguments(__doc__).root
    problems, graph = [], {}
    layers = read_layers(root, problems)
    names = source_tree.files(root, "cairn/*", "apps/*", "examples/*")
    unlisted = {name.split("/")[1] for name in names if name.startswith("cairn/")
                and name.count("/") > 1} - set(layers)
    problems += [f"cairn/{folder}: not in cmake/layers.txt" for folder in sorted(unlisted)]

    for name in names:
        if not name.endswith((".h", ".cpp", ".def")):
            continue
        top, *rest = name.split("/")
        is_header = name.endswith(".h")
        for number, kind, included in source_tree.includes(source_tree.read(root, name)):
            where = f"{name}:{number}"
            if is_header:
                graph.setdefault(name, []).append(included)
            if included.startswith("cairn/"):
                if not (root / included).is_file():
                    problems.append(f"{where}: {included} does not exist")
                if top == "cairn" and len(rest) > 1 and rest[0] in layers:
                    if problem := check_layer_include(name, included, layers):
                        problems.append(f"{where}: {problem}")
            elif kind == '"':
                if top == "cairn" or not included.startswith(f"{top}/"):
                    problems.append(f"{where}: \"{included}\": write the full name from the root, "
                                    f"and nothing outside cairn/ and {top}/")
            elif included.startswith("llvm/"):
                if not name.startswith(LLVM_FOLDER):
                    problems.append(f"{where}: <{included}>: LLVM is for {LLVM_FOLDER}")
            elif (top == "examples" or (top == "cairn" and is_header)) and (
                    included == "iostream" and top == "cairn"
                    or not SYSTEM_HEADERS.fullmatch(included)):
                problems.append(f"{where}: <{included}> does not belong here; "
                                "keep it in a .cpp of cairn/")
    find_cycles(graph, problems)
    source_tree.finish(problems)


if __name__ == "__main__":
    main()
