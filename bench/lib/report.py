"""Makes tables and JSON of samples."""

import os
import statistics

# Names of the builds of boxedge among the proxies: not among "the best other".
BUILDS = ["boxedge"]


def machine():
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    return f"{os.cpu_count()} cores, {model}, Linux {os.uname().release}"


def median(values):
    return statistics.median(values)


def spread(values, digits):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratios(samples, of, to, key):
    """of/to, round by round: rounds are interleaved, so a disturbance affects neighbours alike."""
    other = {s["round"]: s[key] for s in samples[to]}
    return [s[key] / other[s["round"]] for s in samples[of] if s["round"] in other]


def best(samples, key, lower_is_better, excluding=()):
    pick = min if lower_is_better else max
    names = [n for n, s in samples.items() if s and n not in excluding]
    return pick(names, key=lambda n: median([s[key] for s in samples[n]])) if names else None


def table(case, samples):
    """A Markdown table of one case. `samples`: proxy -> list of samples."""
    key, digits, lower = case.key, case.digits, case.lower_is_better
    others = best(samples, key, lower, excluding=BUILDS)
    names = sorted((n for n in samples if samples[n]), key=lambda n: median([s[key] for s in samples[n]]), reverse=not lower)
    has_rate = any("p50_us" in s for n in names for s in samples[n])
    head = ["proxy", f"{case.unit}, median (min–max)", "to nginx", "to the best other"]
    if has_rate:
        head += ["requests/s", "p50 ms", "p99 ms"]
    lines = [f"### {case.title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names:
        row = [name, spread([s[key] for s in samples[name]], digits)]
        for to in ("nginx", others):
            values = ratios(samples, name, to, key) if to and samples.get(to) else []
            row.append(spread(values, 2) if values else "")
        if has_rate:
            row.append(f"{median([s['requests'] / s['seconds'] for s in samples[name]]):,.0f}")
            row += [f"{median([s[p] for s in samples[name]]) / 1000:.2f}" for p in ("p50_us", "p99_us")]
        lines.append("| " + " | ".join(row) + " |")
    for name in samples:
        if not samples[name]:
            lines.append(f"| {name} | no sample |" + " |" * (len(head) - 2))
    return "\n".join(lines) + "\n"


def judge(case, samples):
    """Lines that compare boxedge with the case's targets; empty without targets or samples of boxedge."""
    if not samples.get("boxedge"):
        return []
    lines = []
    for to, bound in case.targets:
        if to == "absolute":
            value = median([s[case.key] for s in samples["boxedge"]])
            lines.append(f"target: ≤ {bound}: {value:.2f}, " + ("met" if value <= bound else "missed"))
            continue
        other = best(samples, case.key, case.lower_is_better, excluding=BUILDS) if to == "best" else to
        values = ratios(samples, "boxedge", other, case.key) if samples.get(other) else []
        if not values:
            continue
        value = median(values)
        met = value <= bound if case.lower_is_better else value >= bound
        sign = "≤" if case.lower_is_better else "≥"
        lines.append(
            f"target: {sign} {bound:.2f} of {other}: {value:.3f} ({min(values):.2f}–{max(values):.2f}), "
            + ("met" if met else "missed"))
    return lines
