# SPDX-License-Identifier: MIT
"""What nvcc's PTX should not contain. tools/ptxas-table reports it for every kernel.

  st.global 2+2+2+2   neighbouring loads or stores that one instruction could do: nvcc took a vector access apart. ptxas does not put
                      the pieces together again, so a warp touches each sector several times.
  needless barrier    a barrier of the warp after another barrier, with no access to memory between them
"""
import collections
import re

VECTOR_BYTES = 16
BARRIER = "needless barrier"
ENTRY = re.compile(r"\.entry\s+(\w+)")
TARGET = re.compile(r"^\.target\s+(sm_\d+)", re.MULTILINE)
ACCESS = re.compile(r"^(?P<op>ld|st)\.global(?P<nc>\.nc)?(?:\.\w+)*?(?:\.v(?P<count>[248]))?\.[a-z]+(?P<bits>\d+)\s"
                    r".*?\[(?P<base>%\w+)(?:\+(?P<offset>-?\d+))?\]")
# The end of a run of accesses that could be one: other paths join or leave here, or the order of memory accesses is fixed.
END = re.compile(r"^(?:\$\w+:|@|bra|bar|barrier|membar|fence|atom|red|call|ret|[{}])")
SYNC = re.compile(r"^(?:bar\.sync|barrier\.sync|bar\.warp\.sync)\s")
MEMORY = re.compile(r"^(?:@!?%p\d+\s+)?(?:ld|st|ldmatrix|atom|red|cp|call|prefetch)\b")


def kernels(ptx):
    """(mangled name, lines of its body), one after another"""
    name, body = None, []
    for line in map(str.strip, ptx.splitlines()):
        if entry := ENTRY.search(line):
            name, body = entry[1], []
        elif name:
            body.append(line)
            if line == "}":
                yield name, body
                name = None


def runs(body):
    """The accesses of each stretch of code that runs as a whole: {(operation, base register): {offset: bytes}}"""
    found = {}
    for line in body:
        if END.match(line):
            yield found
            found = {}
        elif access := ACCESS.match(line):
            key = (f"{access['op']}.global{access['nc'] or ''}", access["base"])
            found.setdefault(key, {})[int(access["offset"] or 0)] = int(access["count"] or 1) * int(access["bits"]) // 8
    yield found


def neighbours(sizes):
    """Groups of at least two adjacent pieces, together at most a vector: "2+2+2+2"."""
    groups, end = [], None
    for offset, size in sorted(sizes.items()):
        if offset == end and sum(groups[-1]) + size <= VECTOR_BYTES:
            groups[-1].append(size)
        else:
            groups.append([size])
        end = offset + size
    return ["+".join(map(str, group)) for group in groups if len(group) > 1]


def needless_barriers(body):
    count, after_barrier = 0, False
    for line in body:
        if SYNC.match(line):
            count += after_barrier and line.startswith("bar.warp")
            after_barrier = True
        elif line.startswith("$") or MEMORY.match(line):
            after_barrier = False
    return count


def found_in(ptx):
    """[(arch, mangled kernel, pattern, how often)]"""
    target = TARGET.search(ptx)
    found = []
    for name, body in kernels(ptx):
        count = collections.Counter(f"{operation} {group}" for run in runs(body) for (operation, _), sizes in run.items()
                                    for group in neighbours(sizes))
        if barriers := needless_barriers(body):
            count[BARRIER] = barriers
        found += [(target[1], name, pattern, times) for pattern, times in sorted(count.items())]
    return found


def family(kernel):
    """'f<Half, 8>' is of the template f."""
    return kernel.split("<")[0]


def read(path):
    """{(file, kernel without its template arguments, pattern, architecture): reason}"""
    rows = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#") and not line.startswith("file\t"):
            file, kernel, pattern, architectures, reason = (line.split("\t") + [""] * 4)[:5]
            rows |= {(file, kernel, pattern, arch): reason.strip() for arch in architectures.split()}
    return rows


def compare(patterns, reasons, architectures):
    """Patterns without a reason, and reasons for patterns that no longer exist."""
    unexplained, used = [], set()
    for (file, kernel, pattern), counts in sorted(patterns.items()):
        keys = {arch: (file, family(kernel), pattern, arch) for arch in counts}
        used.update(keys.values())
        if without := [f"{counts[arch]} for {arch}" for arch, key in keys.items() if not reasons.get(key)]:
            unexplained.append(f"{file}: {kernel}: {pattern} ({', '.join(without)}), without a reason in kernels/cuda/ptx_patterns.tsv")
    unused = [f"{file}: {kernel}: {pattern} has a reason and does not occur for {arch}: change the row" for file, kernel, pattern, arch in sorted(reasons)
              if arch in architectures and (file, kernel, pattern, arch) not in used]
    return unexplained, unused
